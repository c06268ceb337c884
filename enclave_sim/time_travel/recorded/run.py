"""The run of a recording, made again from the recording alone, with the events to compare it with."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from enclave_sim import events
from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.configuration import PayloadSource
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.event_pages import EventPages
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.reader import RecordingFile
from enclave_sim.time_travel.recorded.kernel import RecordedKernel, is_of_kernel
from enclave_sim.time_travel.replay import making
from firmware import Firmware
from machine.events import Event, Recorder


class RecordedRun(Protocol):
    """The run of a recording."""

    @property
    def events(self) -> Sequence[Event]:
        """The events of the recording."""

    @property
    def image_name(self) -> str | None:
        """The file with the kernel on the bare machine; None for an enclave's run."""

    def maker(self, cancellation: Cancellation | None = None) -> Callable[[Recorder], Any]:
        """Return a function that makes the subject for a `Travel`, cancelled by a token."""


def recorded_run(path: Path, files: Sequence[PayloadSource] = (), kernel: Firmware | None = None) -> RecordedRun:
    """Return the run of a recording.

    Args:
        path: The recording.
        files: Candidates, by SHA-256, for files that it does not embed.
        kernel: The firmware of an enclave's run; None for the built-in one.

    Returns:
        The run, of an enclave or of a kernel on the bare machine.

    Raises:
        RecordingError: The file is damaged, or its run cannot be repeated here.
        ConfigurationError: A file cannot be read.
    """
    file = RecordingFile(path)
    if is_of_kernel(file.header):
        return RecordedKernel(file, [Path(str(one)) for one in files])
    return RecordedEnclave(file, files, kernel)


class RecordedEnclave:
    """The recording of an enclave: everything needed to repeat the run.

    Args:
        file: The recording.
        payloads: Candidates, by SHA-256, for payloads that it does not embed.
        kernel: The firmware of the run; None for the built-in one.

    Raises:
        RecordingError: The file is damaged, or its run cannot be repeated here.
    """

    image_name = None

    def __init__(
        self, file: RecordingFile, payloads: Sequence[PayloadSource] = (), kernel: Firmware | None = None
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

    def maker(self, cancellation: Cancellation | None = None) -> Callable[[Recorder], Enclave]:
        """See `RecordedRun`."""
        make = partial(self.options.enclave, self.payloads, inputs=self.inputs, record=False, cancellation=cancellation)
        return lambda recorder: make(recorder=recorder)
