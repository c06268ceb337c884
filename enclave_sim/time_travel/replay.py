"""Replay: repeat the run of a recording, from the recording alone, and compare event by event.

from enclave_sim.time_travel.replay import replay

assert replay(Path("counter.jsonl")).equal

The file is read twice, each time in constant memory. The first pass reads all of it, so that nothing runs if it is
damaged, and finds the inputs that were not scheduled. The second pass follows the run, event by event.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from enclave_sim import events
from enclave_sim.enclave.attester.replayed import RecordedVerifier
from enclave_sim.enclave.configuration import EnclaveConfiguration, PayloadSource, read_payload
from enclave_sim.enclave.enclave import EXTERNAL, Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.inputs import AnyInput
from enclave_sim.reasons import reason
from enclave_sim.recording.comparison.divergence import CONTEXT, Divergence
from enclave_sim.recording.embedded import find_anchors, find_payloads
from enclave_sim.recording.format import Digest, Header, RecordingError
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.reader import RecordingFile
from firmware import Firmware, built_in
from machine.events import Event
from machine.machine import Outcome


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a replay."""

    digest: str
    """The digest of the recording: SHA-256, in hexadecimal."""
    events: int
    """The number of events in the recording."""
    divergence: Divergence | None
    """The first difference between the recording (first) and the run (second), or None."""
    result: RunResult | None
    """The result of the run, if it reached its end."""
    interrupted: bool = False
    """The recorded run was interrupted: only its first events were compared."""

    @property
    def equal(self) -> bool:
        """True if the run equals the recorded one."""
        return self.divergence is None


def replay(
    path: Path | str,
    payloads: Iterable[PayloadSource] = (),
    kernel: Firmware | None = None,
    prepare: Callable[[Enclave], object] = lambda _enclave: None,
) -> ReplayResult:
    """Repeat a recorded run and compare it. It stops a few events after the first difference.

    Args:
        path: The recording file.
        payloads: Candidates, by SHA-256, for payloads that are neither embedded nor built in.
        kernel: The firmware of the run; None for the built-in one.
        prepare: Called with the enclave before it runs, to observe it.

    Returns:
        The first difference, if any, and the result of the run.

    Raises:
        RecordingError: The file is damaged, or its run cannot be repeated here: it has other firmware, a payload is
        missing, or it is not an enclave's recording.
        ConfigurationError: The file or a payload cannot be opened.
    """
    file = RecordingFile(Path(path))
    survey = _Survey(file)
    assert file.trailer is not None
    digest = Digest(file.header)
    with closing(iter(file)) as recorded:
        comparer = _Comparer(recorded, open_end=survey.open_end)
        enclave = _enclave(file, payloads, comparer, digest, survey.answers, kernel=kernel)
        comparer.on_divergence = enclave.machine.request_stop
        prepare(enclave)
        result = _run(enclave, survey, comparer)
        comparer.end()
    if not comparer.parted and not survey.open_end and digest.hexdigest() != file.trailer.sha256:
        raise RecordingError(f"{path}: its events are those of the run, but not as this program writes them")
    trailer = file.trailer
    return ReplayResult(trailer.sha256, trailer.events, comparer.divergence, result, trailer.interrupted)


@dataclass(slots=True)
class _Taken:
    """An input that was not scheduled."""

    event: Event
    before: int
    """The number of events before it, as counted by `_is_counted`."""
    until_ns: int
    """The virtual time until which to run before the input is taken again."""
    over: bool
    """True if the run was over by then."""
    given: AnyInput


class _Survey:
    """The first pass over a recording: everything that a replay needs in advance.

    Raises RecordingError for a damaged file.
    """

    def __init__(self, file: RecordingFile) -> None:
        self.path = file.path
        self.inputs: list[_Taken] = []
        """Inputs that were not scheduled."""
        self.answers: list[Event] = []
        """The events with the verifier's answers."""
        self.last_ns = 0
        """Virtual time of the latest event."""
        over, scheduled = False, deque(one.at_ns for one in file.header.inputs if one.after is None)
        waiting: list[_Taken] = []
        """Those that came before the next scheduled input, even if that one was due."""
        before = 0
        for event in file:
            before += _is_counted(event)
            self.last_ns = max(self.last_ns, event.at_ns)
            if isinstance(event, events.ResidueScanned | events.KernelStopped):
                over = True
            elif isinstance(event, events.VerifierChallenged | events.AttestationDecided):
                self.answers.append(event)
            elif isinstance(event, events.InputTaken):
                if event.given is not None:
                    until_ns = min([event.at_ns, *islice(scheduled, 1)])
                    waiting.append(_Taken(event, before - 1, until_ns, over, event.given))
                    self.inputs.append(waiting[-1])
                elif event.scheduled_ns is not None:
                    for one in waiting:
                        one.until_ns = min(one.until_ns, event.scheduled_ns)
                    waiting.clear()
                    if scheduled and scheduled[0] == event.scheduled_ns:
                        scheduled.popleft()
        assert file.trailer is not None
        self.limit_ns = file.trailer.limit_ns
        self.open_end = not over and self.limit_ns is None
        """True if the recording was saved in the middle of a run: later events of the run are not a difference."""

    @property
    def bound_ns(self) -> int:
        """Virtual time by which the run must be over, so that a diverging run cannot continue forever."""
        return self.last_ns + 1 if self.limit_ns is None else self.limit_ns


class _Comparer:
    """A recorder that compares each event with the next one of a recording."""

    def __init__(self, recorded: Iterator[Event], *, open_end: bool) -> None:
        self._recorded = recorded
        self._open_end = open_end
        self.seen = 0
        """The number of events recorded by the run, as counted by `_is_counted`."""
        self._before: deque[Event] = deque(maxlen=CONTEXT)
        self._first: list[Event] = []
        self._second: list[Event] = []
        self._parted = False
        self.on_divergence = _nothing

    def record(self, event: Event) -> None:
        """Compare one event; after a difference, keep it for the report."""
        self.seen += _is_counted(event)
        if self._parted:
            self._after(event)
            return
        expected = next(self._recorded, None)
        if event == expected:
            self._before.append(event)
        elif expected is not None or not self._open_end:
            self._part(expected)
            self._after(event)

    def end(self) -> None:
        """Note the end of the run: any further event in the recording is a difference."""
        if not self._parted and (expected := next(self._recorded, None)) is not None:
            self._part(expected)

    @property
    def parted(self) -> bool:
        """True if there was a difference."""
        return self._parted

    @property
    def divergence(self) -> Divergence | None:
        """The difference, or None."""
        if not self._parted:
            return None
        return Divergence(tuple(self._before), tuple(self._first), tuple(self._second))

    def _part(self, expected: Event | None) -> None:
        self._parted = True
        if expected is not None:
            self._first = [expected, *(event for event, _ in zip(self._recorded, range(CONTEXT), strict=False))]

    def _after(self, event: Event) -> None:
        if len(self._second) <= CONTEXT:
            self._second.append(event)
        if len(self._second) > CONTEXT:
            self.on_divergence()


def _nothing() -> None:
    pass


def _is_counted(event: Event) -> bool:
    """Return False for a traced write: those of an input are recorded before it, so they do not say when it came."""
    return not isinstance(event, events.MemoryWritten)


def _enclave(
    file: RecordingFile,
    payloads: Iterable[PayloadSource],
    comparer: _Comparer,
    digest: Digest,
    answers: list[Event],
    *,
    kernel: Firmware | None,
) -> Enclave:
    """Make the enclave of the recording, at power-on."""
    header = file.header
    try:
        sources, options = making(header, payloads, answers, kernel)
        enclave = options.enclave(
            sources,
            inputs=header.inputs,
            recorder=comparer,
            record=False,
            digest=digest,  # begins with the recorded header
        )
    except (RecordingError, ConfigurationError) as error:
        raise RecordingError(f"{file.path}: {error}") from None
    if (enclave.header.configuration, enclave.header.inputs) != (header.configuration, header.inputs):
        raise RecordingError(f"{file.path}: its configuration is not one of this program")
    return enclave


def making(
    header: Header, payloads: Iterable[PayloadSource], answers: Iterable[Event], kernel: Firmware | None = None
) -> tuple[list[bytes], EnclaveOptions]:
    """Return the payloads and options of a recorded run.

    Args:
        header: The header of the recording.
        payloads: Candidates, by SHA-256, for payloads that are neither embedded nor built in.
        answers: The recorded events of the verifier. They replace an external verifier.
        kernel: The firmware of the run; None for the built-in one.

    Returns:
        The payloads, in the order of the header, and the options.

    Raises:
        RecordingError: This program cannot make the run. The message does not name a file.
        ConfigurationError: A payload cannot be read.
    """
    configuration = _configuration(header, kernel)
    given = [read_payload(source, configuration.engine) for source in payloads]
    external = header.configuration.get("verifier") == EXTERNAL
    return list(find_payloads(header, given)), EnclaveOptions(
        configuration,
        trust_anchors=tuple(find_anchors(header, header.configuration["trust_anchors"])),
        verifier=RecordedVerifier(answers) if external else None,
    )


def _configuration(header: Header, kernel: Firmware | None) -> EnclaveConfiguration:
    if "cycles" not in header.configuration:
        raise RecordingError(
            "it is not the recording of an enclave; that of a kernel is re-executed by "
            "`enclave-sim inspect RECORDING --payload IMAGE`"
        )
    if header.configuration.get("tpm") == EXTERNAL:
        raise RecordingError("it was made with a TPM outside the emulator, whose answers are not in the recording")
    ours = kernel or built_in()
    if header.firmware_sha256 != ours.sha256:
        offered = "this program has" if kernel is None else "the one given is"
        raise RecordingError(
            f"it was made with firmware {header.firmware_sha256}; {offered} {ours.sha256}; --firmware takes another one"
        )
    try:
        msgspec.convert(header.configuration.get("trust_anchors"), list[str])
        found = msgspec.convert(header.configuration, EnclaveConfiguration)
        return msgspec.structs.replace(found, firmware=kernel)
    except ValueError as error:
        raise RecordingError(f"its configuration is not one of this program: {reason(error)}") from None


def _run(enclave: Enclave, survey: _Survey, comparer: _Comparer) -> RunResult | None:
    """Run to the end and return the result. At a difference from the recording, stop and return None."""
    for taken in survey.inputs:
        if taken.over:
            enclave.run(survey.bound_ns)
        elif not _advance(enclave, taken.until_ns, comparer):
            return None
        # Several interrupts may be taken at one moment, some of them before the input.
        while comparer.seen < taken.before and enclave.machine.clock.now_ns <= taken.event.at_ns:
            if comparer.parted or not enclave.step():
                break
        if comparer.parted:
            return None
        try:
            enclave.take(taken.given)
        except EnclaveError as error:
            at_ns = taken.event.at_ns
            raise RecordingError(f"{survey.path}: its input at {at_ns} ns is not possible there: {error}") from None
    return enclave.run(survey.bound_ns) if _advance(enclave, survey.bound_ns, comparer) else None


def _advance(enclave: Enclave, limit_ns: int, comparer: _Comparer) -> bool:
    """Run to a virtual time, or to the end. Return False if the run differs from the recording."""
    while not comparer.parted and enclave.advance(limit_ns) is Outcome.STOPPED:
        pass
    return not comparer.parted
