"""The judge of lab `payload`: it admits the module as production does, and runs it under several configurations."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.engine.admission import admit
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.trial_compilation import TRIAL_LIMITS, compiles_within_limits
from enclave_sim.events import CycleBegan, HostReturned, SignalEmitted
from enclave_sim.inputs import AfterEvent, ExternalInterrupt
from enclave_sim.labs.bounded import Bounds, NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check
from enclave_sim.labs.lab import Judged
from enclave_sim.memory_map import region
from enclave_sim.payload import artefact
from enclave_sim.payload.errors import KeyFileError, MalformedModule, PayloadCheck, PayloadRejected
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.payload.wasm.sections import sections
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import one_line
from enclave_sim.specification import Attestation
from machine.events import Event

MODULE, ANCHOR = "payload.wasm", "signer.anchor.json"
_LIMIT_NS = 5_000_000
_CYCLES = 3
_BUDGET_NS = 100_000
"""The time that the guest may take in a cycle."""
_INPUTS = (ExternalInterrupt(at_ns=20_000, after=AfterEvent("wake_scheduled", count=2)),)
"""The last cycle is begun by an external interrupt, so that the status word differs from cycle to cycle."""
_MASK = 0xFFFF_FFFF
_GET_STATUS = 0
_PARTS = ("signature", "first", "later", "clean")
_SKELETON = """\
;; Your payload. Translate and sign it by: enclave-sim payload sign payload.wat --key NAME.key.json
(module
  (import "aether" "get_status" (func $get_status (result i32)))
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (func (export "_start")))
"""
_ADVICE = {
    PayloadCheck.UNSIGNED: "The module is not signed.",
    PayloadCheck.UNKNOWN_KEY: "The module was signed by another key than that of the trust anchor.",
    PayloadCheck.DEVELOPMENT_KEY: "Production refuses development keys: everyone has their secret half.",
    PayloadCheck.BAD_ED25519: "The module was changed after it was signed.",
}


@dataclass(frozen=True)
class Order:
    """Emissions demanded of the payload of a student."""

    start: int
    factor: int
    addend: int
    count: int
    mask: int
    key: str
    """The name of the student's key."""

    @classmethod
    def of(cls, case: Case) -> "Order":
        """Return the order of a case."""
        return cls(
            case.number("start", 1, _MASK),
            case.number("factor", 3, 0xFFFF) | 1,
            case.number("addend", 1, 0xFFFF),
            case.number("count", 5, 12),
            case.number("mask", 0x1_0000, _MASK),
            re.sub(r"[^A-Za-z0-9._-]", "-", case.student),
        )

    def sequence(self, count: int) -> list[int]:
        """Return the first values of the sequence."""
        values, value = [], self.start
        for _ in range(count):
            values.append(value)
            value = (value * self.factor + self.addend) & _MASK
        return values


@dataclass(frozen=True)
class Cycle:
    """Signals of one cycle, and the status word in it."""

    signals: list[int]
    status: int | None
    """The status word that it was given last; None if it did not ask."""


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    mine = Order.of(case)
    return {
        "start": hex(mine.start),
        "factor": str(mine.factor),
        "addend": str(mine.addend),
        "count": str(mine.count),
        "mask": hex(mine.mask),
        "key": mine.key,
        "budget": f"{_BUDGET_NS:,}",
    }


def start(_case: Case) -> dict[str, bytes]:
    """Return the starting point: a payload that does nothing, in text, unsigned."""
    return {"payload.wat": _SKELETON.encode()}


def inspected(_case: Case, directory: Path) -> list[str]:
    """Return a run of the student's payload, or of a built-in one while there is none."""
    module, anchor = directory / MODULE, directory / ANCHOR
    if not (module.is_file() and anchor.is_file()):
        return ["beacon", "--cycles", str(_CYCLES)]
    return [str(module), "--trust-anchor", str(anchor), "--production", "--cycles", str(_CYCLES)]


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge a payload."""
    mine = Order.of(case)
    anchor, problem = _admitted(mine, files)
    if anchor is None:
        unsigned = Check(False, f"Nothing runs before it is admitted: {problem}")
        return Judged({**dict.fromkeys(_PARTS, (unsigned,)), "signature": (Check(False, problem),)})
    results, cycles = [], []
    try:
        with piece():
            for attestation in (Attestation.OFF, Attestation.RECORD):
                result, events = _run(files[MODULE], anchor, attestation)
                results.append(result)
                cycles.append(list(_cycles(events)))
    except NoResult as error:
        return Judged({**dict.fromkeys(_PARTS, (Check(False, str(error)),)), "signature": (RIGHT,)})
    first = tuple(_first(mine, several[:1]) for several in cycles)
    later = tuple(_later(mine, several) for several in cycles)
    served = all(check.right for check in (*first, *later))
    checks = {
        "signature": (RIGHT,),
        "first": first,
        "later": later,
        "clean": tuple(_clean(result, served=served) for result in results),
    }
    return Judged(checks, tuple(result.digest for result in results))


def _admitted(mine: Order, files: Mapping[str, bytes]) -> tuple[TrustAnchor | None, str]:
    """Return the anchor if the module is admitted in production, or the problem."""
    if MODULE not in files or ANCHOR not in files:
        return None, f"{MODULE if MODULE not in files else ANCHOR} is missing."
    try:
        anchor = TrustAnchor.from_json(files[ANCHOR], ANCHOR)
    except KeyFileError as error:
        return None, f"{one_line(str(error))[:200]}."
    if anchor.name != mine.key:
        return None, f"The trust anchor is of another signer: make your own key by the name {mine.key}."
    if _holds_native_code(files[MODULE]):
        return None, "The module holds compiled code, which nothing can check: hand in the plain signed module."
    if not compiles_within_limits(files[MODULE]):
        return None, f"Compiling the module takes more than {TRIAL_LIMITS}."
    try:
        profile = GuestProfile(region("heap").size, frozenset())
        admit(files[MODULE], [anchor], profile, production=True)
    except PayloadRejected as rejected:
        return None, _ADVICE.get(rejected.check, f"{rejected.check.name}: {one_line(rejected.message)[:300]}.")
    return anchor, ""


def _holds_native_code(module: bytes) -> bool:
    """Report whether a module has ahead-of-time code: signed by a student's key, the engine would execute it."""
    try:
        return any(section.name == artefact.SECTION_NAME for section in sections(module))
    except MalformedModule:
        return False  # which admission refuses


def _run(module: bytes, anchor: TrustAnchor, attestation: Attestation) -> tuple[RunResult, Sequence[Event]]:
    configuration = EnclaveConfiguration(
        cycles=_CYCLES, wake_ns=50_000, quantum_ns=_BUDGET_NS, production=True, attestation=attestation
    )
    bounds = Bounds()
    enclave = Enclave(module, configuration=configuration, trust_anchors=[anchor], inputs=_INPUTS, recorder=bounds)
    result = bounds.run(enclave, _LIMIT_NS)
    assert enclave.recording is not None
    return result, enclave.recording.events


def _cycles(events: Sequence[Event]) -> Iterator[Cycle]:
    starts = [number for number, one in enumerate(events) if isinstance(one, CycleBegan)]
    for begin, end in pairwise([*starts, len(events)]):
        within = events[begin:end]
        asked = [one.result for one in within if isinstance(one, HostReturned) and one.number == _GET_STATUS]
        yield Cycle([one.value for one in within if isinstance(one, SignalEmitted)], asked[-1] if asked else None)


def _first(mine: Order, cycles: Sequence[Cycle]) -> Check:
    right = mine.sequence(mine.count)
    found = cycles[0].signals if cycles else []
    if found == right:
        return RIGHT
    after = mine.sequence(mine.count + 1)
    known = {
        (): "It emits nothing in the first cycle.",
        tuple(after[1:]): "It begins with the second value: emit before you calculate the next one.",
        tuple(after): "It emits one value too many: check the condition of the loop.",
        tuple(right[:-1]): "It emits one value too few: check the condition of the loop.",
        tuple(right[:1] * mine.count): "It emits the first value again and again: the next one is never stored.",
    }
    if len(found) > mine.count + 1 and found[: mine.count] == right:
        return Check(False, "It begins well, and then does not stop.")
    return Check(False, known.get(tuple(found), "In the first cycle it does not emit this sequence."))


def _later(mine: Order, cycles: Sequence[Cycle]) -> Check:
    later = cycles[1:]
    if len(later) < _CYCLES - 1:
        return Check(False, "It does not come to its later cycles.")
    for cycle in later:
        if cycle.status is None:
            return Check(False, "In a later cycle it does not ask for the status.")
        if cycle.signals == [cycle.status ^ mine.mask]:
            continue
        known = {
            (cycle.status,): "It emits the status itself; XOR it with your mask.",
            (cycle.status & mine.mask,): "That is AND, not XOR.",
            (cycle.status | mine.mask,): "That is OR, not XOR.",
            tuple(
                mine.sequence(mine.count)
            ): "It emits the sequence in every cycle: FIRST_CYCLE is clear in the later ones.",
            (): "It emits nothing in a later cycle.",
        }
        return Check(
            False, known.get(tuple(cycle.signals), "In a later cycle it does not emit the status XOR your mask.")
        )
    return RIGHT


def _clean(result: RunResult, *, served: bool) -> Check:
    if result.outcome != "COMPLETED":
        return Check(False, f"The run ended as {result.outcome}: the payload must return from _start in every cycle.")
    if result.residue_bytes:
        return Check(False, "The run left residue.")
    if result.preemptions:
        return Check(False, "The timer interrupted it: it computes for too long.")
    return Check(served, "" if served else "It ends well, but does not emit what is asked for yet.")
