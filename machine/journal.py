"""Stamps events with their position and virtual time and hands them to the recorder."""

from machine.clock import Clock
from machine.events import DiscardingRecorder, Event, Recorder
from machine.state import Stateful


class Journal(Stateful):
    """The one place where an event gets its `seq` and `at_ns`."""

    def __init__(self, clock: Clock, recorder: Recorder | None = None) -> None:
        self._clock = clock
        self._record = (recorder or DiscardingRecorder()).record
        self.seq = 0

    def emit(self, kind: type[Event], *fields: object) -> None:
        """Record an event of type `kind`; `fields` are its own fields, in order."""
        self._record(kind(self.seq, self._clock.now_ns, *fields))
        self.seq += 1
