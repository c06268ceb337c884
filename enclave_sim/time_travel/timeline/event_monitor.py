"""The events of a run, when they first happen and when they are repeated."""

from collections.abc import Callable, Sequence

from enclave_sim.recording.format import RecordingError
from enclave_sim.time_travel.recorded.comparison import RunningComparison
from machine.errors import EmulatorFault
from machine.events import Event


class EventMonitor:
    """A recorder that keeps every event of the run, and can stop the machine at one.

    Args:
        recorded: The events that the run must have, those of a recording; None for any.
    """

    def __init__(self, recorded: Sequence[Event] | None = None) -> None:
        self.events: list[Event] = []
        """All known events, including those after the current position."""
        self.wanted: Callable[[Event], bool] | None = None
        self.found: Event | None = None
        self.stop: Callable[[], None]
        self.comparison = None if recorded is None else RunningComparison(recorded)
        """The comparison with a recording, until an input is given that it does not have."""

    def record(self, event: Event) -> None:
        """Keep an event, or compare it with its first occurrence.

        Raises:
            EmulatorFault: It differs from its first occurrence.
            RecordingError: It differs from the recorded event.
        """
        if event.seq == len(self.events):
            self.events.append(event)
            if self.comparison is not None:
                self._compare(self.comparison, over=False)
        elif self.events[event.seq] != event:
            raise EmulatorFault(f"event {event.seq} was {self.events[event.seq]} and came again as {event}")
        if self.wanted is not None and self.found is None and self.wanted(event):
            self.found = event
            self.stop()

    def end(self) -> None:
        """Note the end of the run. Raises RecordingError if the recording has further events."""
        if self.comparison is not None:
            self._compare(self.comparison, over=True)

    def _compare(self, comparison: RunningComparison, *, over: bool) -> None:
        comparison.follow(self.events)
        if problem := comparison.problem(over=over):
            raise RecordingError(f"the run is {problem}; enclave-sim replay shows the difference")
