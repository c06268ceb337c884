"""Adds position and virtual time to events and passes them to the recorder."""

from collections.abc import Callable
from typing import TypeVarTuple

from machine.events import DiscardingRecorder, Event, Recorder
from machine.processor.clock import Clock
from machine.state import Stateful

Fields = TypeVarTuple("Fields")


class Journal(Stateful):
    """The only source of the `seq` and `at_ns` of events."""

    STATE = ("seq",)
    WIRING = ("_clock", "_record", "before")

    def __init__(self, clock: Clock, recorder: Recorder | None = None) -> None:
        self._clock = clock
        self._record = (DiscardingRecorder() if recorder is None else recorder).record
        self.before: Callable[[object], None] | None = None
        """Called with the type of each event before it is made. It may emit events of its own, which come first."""
        self.seq = 0

    def emit(self, kind: Callable[[int, int, *Fields], Event], *fields: *Fields) -> None:
        """Record an event of type `kind`, from the fields that follow `seq` and `at_ns`."""
        if self.before is not None:
            self.before(kind)
        self._record(kind(self.seq, self._clock.now_ns, *fields))
        self.seq += 1
