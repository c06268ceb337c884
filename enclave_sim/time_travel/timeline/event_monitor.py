"""The events of a run, when they first happen and when they are repeated."""

from collections.abc import Callable

from machine.errors import EmulatorFault
from machine.events import Event


class EventMonitor:
    """A recorder that keeps every event of the run, and can stop the machine at one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        """All known events, including those after the current position."""
        self.wanted: Callable[[Event], bool] | None = None
        self.found: Event | None = None
        self.stop: Callable[[], None]

    def record(self, event: Event) -> None:
        """Keep an event, or compare it with its first occurrence. Raises EmulatorFault if it differs."""
        if event.seq == len(self.events):
            self.events.append(event)
        elif self.events[event.seq] != event:
            raise EmulatorFault(f"event {event.seq} was {self.events[event.seq]} and came again as {event}")
        if self.wanted is not None and self.found is None and self.wanted(event):
            self.found = event
            self.stop()
