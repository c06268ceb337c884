"""When inputs are due. It learns from the events of the run when those are that wait for one.

Inputs of one moment come in the order in which they stand in the schedule.
"""

import heapq
from collections.abc import Callable, Iterable

from enclave_sim.enclave.inputs.validation import matches
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import name_of_kind
from enclave_sim.inputs import AnyInput
from machine.events import Event
from machine.state import Stateful


class Schedule(Stateful):
    """The inputs of one enclave that are still to come. A recorder: it must be given every event."""

    STATE = ("_due", "_waiting")
    WIRING = ("on_due",)

    def __init__(self, inputs: Iterable[AnyInput] = ()) -> None:
        self.on_due: Callable[[], None] = _nothing
        """Called when an event has made an input due, now or later."""
        self.begin(inputs)

    def begin(self, inputs: Iterable[AnyInput], events: Iterable[Event] = (), start_ns: int = 0) -> None:
        """These, which `ordered` has checked, are to come in a run that these events began, up to `start_ns`.

        Raises ConfigurationError for an input that was due before the start; nothing is to come then.
        """
        self._due: list[tuple[int, int, AnyInput]] = []
        """A heap: virtual time, position in the schedule, and the input."""
        self._waiting: dict[str, list[tuple[int, int, AnyInput]]] = {}
        """By kind of event: how many more have to come, position in the schedule, and the input."""
        for position, one in enumerate(inputs):
            if one.after is None:
                self._due.append((one.at_ns, position, one))
            else:
                self._waiting.setdefault(one.after.event, []).append((one.after.count, position, one))
        heapq.heapify(self._due)
        if self._waiting:
            for event in events:
                self._look(event)
        if self._due and self._due[0][0] < start_ns:
            due_ns, _, early = self._due[0]
            self._due, self._waiting = [], {}
            name = type(early).__name__
            raise ConfigurationError(f"input {name} at {due_ns} ns comes before the start at {start_ns} ns")

    @property
    def next_ns(self) -> int | None:
        """When the next input is due, as far as is known by now."""
        return self._due[0][0] if self._due else None

    def take_next(self) -> tuple[int, AnyInput]:
        """The next input and when it was due; it is no longer to come."""
        due_ns, _, one = heapq.heappop(self._due)
        return due_ns, one

    def record(self, event: Event) -> None:
        """See `Recorder`."""
        if self._waiting and self._look(event):
            self.on_due()

    def _look(self, event: Event) -> bool:
        """Whether the event made an input due."""
        kind = name_of_kind(event)
        waiting = self._waiting.get(kind)
        if waiting is None:
            return False
        still: list[tuple[int, int, AnyInput]] = []
        for missing, position, one in waiting:
            assert one.after is not None
            left = missing - matches(one.after, event)
            if left:
                still.append((left, position, one))
            else:
                heapq.heappush(self._due, (event.at_ns + one.at_ns, position, one))
        if still:
            self._waiting[kind] = still
        else:
            del self._waiting[kind]
        return len(still) < len(waiting)


def _nothing() -> None:
    pass
