"""A comparison of a run with its recording, event by event, while it goes on."""

from collections.abc import Sequence

import msgspec

from enclave_sim import events
from machine.events import Event

_FINDINGS = events.ResidueScanned, events.KernelStopped
"""The kinds of events that are recorded at the end of a run, also if a limit of time has ended it."""


class RunningComparison:
    """Compares a run with a recording, event by event, during the run."""

    def __init__(self, recorded: Sequence[Event]) -> None:
        self.recorded = recorded
        """The events of the recording."""
        self._same = 0
        """The number of equal events at the beginning."""
        self.differs_at: int | None = None
        """The number of the first event that differs."""

    def follow(self, known: Sequence[Event]) -> None:
        """Compare the new events in `known`."""
        end = min(len(known), len(self.recorded))
        while self.differs_at is None and self._same < end:
            event = known[self._same]
            if _plain(event) == _plain(self.recorded[self._same]):
                self._same += 1
            elif not isinstance(event, _FINDINGS) and self._has_ended:
                self._same = end = len(self.recorded)  # the recorded run reached its limit of time
            else:
                self.differs_at = self._same

    def words(self, *, over: bool) -> str:
        """Describe the state of the comparison. `over`: the run has ended."""
        if problem := self.problem(over=over):
            return problem
        count = len(self.recorded)
        return "as recorded" if self._same == count or over else f"as recorded, {self._same:,} of {count:,}"

    def problem(self, *, over: bool) -> str:
        """Describe the difference; empty if there is none so far. `over`: the run has ended."""
        if self.differs_at is not None:
            return f"NOT AS RECORDED from event {self.differs_at:,} on"
        if over and not self._has_ended:
            return f"NOT AS RECORDED: ends before event {self._same:,}"
        return ""

    @property
    def _has_ended(self) -> bool:
        """True if all that the recording still has is what is recorded at the end of a run."""
        rest = range(self._same, len(self.recorded))
        return all(isinstance(self.recorded[place], _FINDINGS) for place in rest)


def _plain(event: Event) -> Event:
    """Return an event without the distinction between scheduled and other inputs: here all are scheduled."""
    return (
        msgspec.structs.replace(event, scheduled_ns=None, given=None) if isinstance(event, events.InputTaken) else event
    )
