"""The event log on the screen."""

from collections.abc import Callable
from functools import partial

from enclave_sim.inspector.model.event_log import EventFilter, event_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class EventsPane(Pane):
    """Events before the current position."""

    NAME, TITLE, TAB, KEY = "events", "Events", "Log", "-"
    HELP = """What has happened so far, one event a line: its number, virtual time,
kind and fields.
f filters: kinds (host_called scrubbed) and a ring transition (3->0), in
any order, then a text in quotes ("heap").
Enter on an event goes to the moment at which it has just happened. e
and E go from event to event."""
    FOOTER = "Enter go there  f filter  / search"
    FOLLOWS = "go to the moment of the event"

    filter = EventFilter()

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(_view, wanted=self.filter)


def _view(moment: Moment, wanted: EventFilter) -> View:
    return event_view(moment.log, moment.seen, wanted)
