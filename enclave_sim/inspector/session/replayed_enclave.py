"""An enclave's recording as the source of a run, which is compared with it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from enclave_sim import events
from enclave_sim.enclave.configuration import PayloadSource
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import read_start
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.event_pages import EventPages
from enclave_sim.recording.format import BEGINNING, RecordingError
from enclave_sim.recording.reader import RecordingFile
from enclave_sim.time_travel.replay import making
from firmware import Firmware
from machine.events import Event


def is_recording(path: Path) -> bool:
    """Return whether a file begins like a recording."""
    return read_start(path, len(BEGINNING)) == BEGINNING


class Recorded:
    """The recording of an enclave: everything needed to repeat the run.

    Args:
        file: The recording.
        payloads: Where to look for payloads that it does not embed.
        kernel: The firmware of the run; None for the built-in one.

    Raises:
        RecordingError: The file is damaged, or its run cannot be repeated here.
    """

    def __init__(
        self, file: RecordingFile, payloads: tuple[PayloadSource, ...] = (), kernel: Firmware | None = None
    ) -> None:
        answering = events.VerifierChallenged, events.AttestationDecided
        self.events = EventPages(file, kept=(*answering, events.InputTaken))
        answers = [e for e in self.events.kept if isinstance(e, answering)]
        try:
            self.payloads, self.options = making(file.header, payloads, answers, kernel)
        except (RecordingError, ConfigurationError) as error:
            raise RecordingError(f"{file.path}: {error}") from None
        inputs = (e for e in self.events.kept if isinstance(e, events.InputTaken))
        taken = [msgspec.structs.replace(e.given, at_ns=e.at_ns) for e in inputs if e.given is not None]
        # Unscheduled inputs are scheduled for the time at which they were taken.
        self.inputs: tuple[AnyInput, ...] = (*file.header.inputs, *taken)


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
            if _plain(known[self._same]) == _plain(self.recorded[self._same]):
                self._same += 1
            else:
                self.differs_at = self._same

    def words(self, *, over: bool) -> str:
        """Describe the state of the comparison. `over`: the run has ended."""
        if self.differs_at is not None:
            return f"NOT AS RECORDED from event {self.differs_at:,} on"
        count = len(self.recorded)
        if over and not self._are_findings(range(self._same, count)):
            return f"NOT AS RECORDED: ends before event {self._same:,}"
        return "as recorded" if self._same == count or over else f"as recorded, {self._same:,} of {count:,}"

    def _are_findings(self, places: range) -> bool:
        """Return whether all these events of the recording are what is recorded at the end of a run."""
        return all(isinstance(self.recorded[place], events.ResidueScanned | events.KernelStopped) for place in places)


def _plain(event: Event) -> Event:
    """Return an event without the distinction between scheduled and other inputs: here all are scheduled."""
    return (
        msgspec.structs.replace(event, scheduled_ns=None, given=None) if isinstance(event, events.InputTaken) else event
    )
