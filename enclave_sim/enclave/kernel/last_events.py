"""The last events of a run, to explain its end; all events are passed on to another recorder."""

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine.events import Event, Recorder

_KEPT = 16


class LastEvents:
    """A recorder that keeps the last events and passes all events on to another one, if any."""

    def __init__(self, recorder: "Recorder | None") -> None:
        self._record = None if recorder is None else recorder.record
        self.events: deque[Event] = deque(maxlen=_KEPT)
        """The last events, in order."""

    def record(self, event: "Event") -> None:
        """Receive one event."""
        self.events.append(event)
        if self._record is not None:
            self._record(event)
