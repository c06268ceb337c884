"""The run of an enclave, executed in both directions."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.configuration import PayloadSource
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.reader import RecordingFile
from enclave_sim.recording.text import plural
from enclave_sim.time_travel.recorded.run import RecordedEnclave
from enclave_sim.time_travel.travel import Travel
from firmware import Firmware
from machine.events import Recorder


def enclave_of(
    payload: Any,
    options: EnclaveOptions,
    inputs: Iterable[AnyInput] = (),
    *,
    cancellation: Cancellation | None = None,
) -> Callable[[Recorder], Enclave]:
    """Return a function that makes an enclave for a `Travel`, given its recorder.

    Args:
        payload: As for `Enclave`.
        options: The options of the enclave.
        inputs: As for `Enclave`.
        cancellation: The token that cancels the run; None for a new one.

    Returns:
        The function. Calling it raises the errors of `Enclave`.
    """
    make, given = options.enclave, tuple(inputs)
    return lambda recorder: make(payload, inputs=given, recorder=recorder, record=False, cancellation=cancellation)


class Session(Travel[Enclave]):
    """The run of an enclave that can be executed in both directions.

        from enclave_sim.time_travel import Session

        session = Session("counter", cycles=2)
        session.run_to(event="host_called")
        print(session.now, session.line, session.enclave.machine.cpu.registers.rax)
        session.back()

    A session begins at power-on, position 0 ns, and ends when the enclave is dormant. The methods that move it are
    those of `Travel`: steps, searches, breakpoints and watchpoints. They return the position reached, and raise
    NoSuchPosition if the run has no such position, and Cancelled if the token was cancelled. Going back and forward
    again gives the same events. For many runs that begin after the boot, use `Template`; for one forward run,
    `Enclave`. `Session.replay` makes the run of a recording.

    Args:
        payload: As for `Enclave`: a built-in name, a path, the module itself, or several of these.
        inputs: As for `Enclave`: the run's outside inputs.
        **options: Those of `EnclaveOptions.of`: the fields of `EnclaveConfiguration`, and `trust_anchors`, `reference`,
            `verifier`, `tpm` and `portable`.

    Raises:
        ConfigurationError: An option, an input or a payload is not possible.
    """

    def __init__(self, payload: Any = "beacon", *, inputs: Iterable[AnyInput] = (), **options: Any) -> None:
        super().__init__(enclave_of(payload, EnclaveOptions.of(**options), inputs))

    @classmethod
    def replay(
        cls, recording: Path | str, payloads: Iterable[PayloadSource] = (), *, firmware: Firmware | None = None
    ) -> "Session":
        """Make the run of a recording again, at power-on, from the recording alone.

            session = Session.replay("accident.jsonl")

        Events are compared with the recorded ones as they happen, until `take` gives another input.

        Args:
            recording: The recording file. It must not be changed meanwhile.
            payloads: Candidates, by SHA-256, for payloads that are neither embedded nor built in.
            firmware: The firmware of the run; None for the built-in one.

        Returns:
            The session. Its motions raise RecordingError where the run differs from the recording.

        Raises:
            RecordingError: The file is damaged, or its run cannot be repeated here.
            ConfigurationError: A file cannot be read.
        """
        run = RecordedEnclave(RecordingFile(Path(recording)), tuple(payloads), firmware)
        session = cls.__new__(cls)
        Travel.__init__(session, run.maker(), run.events)
        return session

    @property
    def enclave(self) -> Enclave:
        """The enclave at the current position. Inspect it freely; only the session may run it."""
        return self.subject

    def __repr__(self) -> str:
        line = self.line or "no source line"
        return f"<Session at {self.now}, {line}, {plural(len(self.events), 'event')}: {self.enclave!r}>"

    def _repr_html_(self) -> str:
        """Return the view in a notebook: the position, and the run up to there."""
        from enclave_sim.recording.exports.html import notebook_view  # noqa: PLC0415 - only a notebook needs it

        rows = [("position", str(self.now)), ("source line", str(self.line or "none"))]
        return notebook_view("Session", rows, self.enclave.header, self.events)
