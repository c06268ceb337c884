"""The judge of lab `gate`: it boots the kernel that was handed in, and calls the gate from ring 3.

The numbers that the guest passes, and all else in its registers, depend on the image, so a kernel cannot know them in
advance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import AnnihilationBegan
from enclave_sim.labs.bounded import NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check
from enclave_sim.labs.gate.caller import caller
from enclave_sim.labs.gate.crossings import INTERRUPT_GATE, KEPT, TYPE, Crossings
from enclave_sim.labs.kernel import IMAGE, handed_in_kernel
from enclave_sim.labs.lab import Judged
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import Attestation, EngineName
from firmware import Firmware, built_in, layout
from machine.events import InterruptRaised, RingTransition

_PARTS = ("gate", "handler", "safe")
_LIMIT_NS = 2_000_000
_CALLS = 3
_GENERAL_PROTECTION = 13
_BUILT_IN = "beacon"


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    return {"vector": f"{_vector(case):X}h", "mask": hex(_mask(case))}


def start(_case: Case) -> dict[str, bytes]:
    """Return the starting point: the sources come from the package."""
    return {}


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge a kernel."""
    kernel, problem = handed_in_kernel(files)
    if kernel is None:
        return _nothing(problem)
    vector, digest = _vector(case), sha256(files[IMAGE]).digest()
    numbers = [int.from_bytes(digest[4 * at : 4 * at + 4], "little") | 1 for at in range(_CALLS)]
    try:
        with piece():
            called = _run(kernel, caller(vector, numbers, digest), vector)
    except NoResult as error:
        return _nothing(str(error))
    gate = tuple(_gate(called, vector))
    handler = tuple(_handler(called, numbers, _mask(case))) if gate == (RIGHT,) else gate
    if handler[0] is not RIGHT:
        unsafe = Check(False, "safe: the gate does not work yet.")
        return Judged({"gate": gate, "handler": handler, "safe": (unsafe,)}, (called.result.digest,))
    others: list[_Ran] = []
    try:
        with piece():
            others += [_run(kernel, caller(_other(vector, digest), numbers, digest)), _run(kernel, _BUILT_IN)]
            safe = tuple(_safe(called, others, vector))
    except NoResult as error:
        safe = (Check(False, f"safe: {error}"),)
    runs = tuple(one.result.digest for one in (called, *others))
    return Judged({"gate": gate, "handler": handler, "safe": safe}, runs)


def _vector(case: Case) -> int:
    return case.number("vector", 0x90, 0xEE)


def _other(vector: int, digest: bytes) -> int:
    """Return another vector, which the kernel cannot know."""
    others = [one for one in range(0x90, 0xEF) if one != vector]
    return others[digest[-1] % len(others)]


def _mask(case: Case) -> int:
    return case.number("mask", 0x100_0000, 0x7FFF_FFFF)


def _nothing(problem: str) -> Judged:
    return Judged(dict.fromkeys(_PARTS, (Check(False, problem),)))


@dataclass(frozen=True)
class _Ran:
    """A run of the kernel."""

    result: RunResult
    enclave: Enclave
    crossings: Crossings


def _run(kernel: Firmware, guest: bytes | str, vector: int | None = None) -> _Ran:
    crossings = Crossings(vector)
    engine = EngineName.NATIVE if isinstance(guest, bytes) else EngineName.WASMTIME
    options = EnclaveOptions.of(attestation=Attestation.OFF, engine=engine, firmware=kernel)
    enclave = options.enclave(guest, recorder=crossings)
    return _Ran(crossings.run(enclave, _LIMIT_NS), enclave, crossings)


def _gate(called: _Ran, vector: int) -> Iterator[Check]:
    assert called.enclave.recording is not None
    entered = [one for one in called.enclave.recording.of_kind(RingTransition) if one.to_ring == 3]
    raised = called.enclave.recording.of_kind(InterruptRaised)
    if not entered:
        yield Check(False, "gate: The kernel does not come to its guest: look at the recording of a run of beacon.")
    elif called.crossings.calls and called.crossings.open.get(vector, 0) & TYPE != INTERRUPT_GATE:
        yield Check(False, "gate: It is no interrupt gate: interrupts stay enabled in your handler. Look at its type.")
    elif called.crossings.calls:
        yield RIGHT
    elif any(one.vector == _GENERAL_PROTECTION and one.error_code == vector * 8 + 2 for one in raised):
        yield Check(False, "gate: #GP names the gate: ring 3 may not use it. Which field says who may?")
    else:
        yield Check(False, "gate: The guest's INT does not reach a handler.")


def _handler(called: _Ran, numbers: Sequence[int], mask: int) -> Iterator[Check]:
    found = list(called.result.signals)
    returned = [one for one in called.crossings.calls if one.after]
    if not found or not returned:
        yield Check(False, "handler: It does not return to the guest. A handler ends in IRETQ.")
        return
    if found == [number ^ mask for number in numbers] == [one.after["RAX"] for one in returned]:
        yield RIGHT
    elif found == list(numbers):
        yield Check(False, "handler: EAX comes back unchanged: this is another handler, or it restores EAX.")
    elif found == [number | mask for number in numbers] or found == [number & mask for number in numbers]:
        yield Check(False, "handler: That is not XOR.")
    elif not any(found):
        yield Check(False, "handler: EAX comes back as zero: leaving the kernel, it is cleared.")
    else:
        yield Check(False, "handler: RAX does not come back as EAX XOR your mask, in every call.")
    lost = [name for name in KEPT if any(name in one.lost for one in returned)]
    what = f"handler: After the call {', '.join(lost[:8])} {'is' if len(lost) == 1 else 'are'} not as before. "
    yield Check(False, f"{what}Keep what you do not need, or do not touch it.") if lost else RIGHT


def _safe(called: _Ran, others: Sequence[_Ran], vector: int) -> Iterator[Check]:
    refused, served = others
    model = _run(built_in(), _BUILT_IN).result
    if called.result.outcome != "COMPLETED" or called.result.residue_bytes:
        yield Check(False, f"safe: The run ends as {called.result.outcome}, with residue or not as it should.")
    elif _seen(served.result) != _seen(model):
        yield Check(False, f"safe: {_BUILT_IN} is not served as by the built-in kernel ({served.result.outcome}).")
    else:
        yield RIGHT
    expected = {vector, layout()["VECTOR_HOST_CALL"]}
    opened = sorted(set().union(*(one.crossings.open for one in (called, *others))) - expected)
    closed = not opened and _is_refused(refused.enclave)
    which = f" ({', '.join(f'{one:X}h' for one in opened[:3])})" if opened else ""
    lesson = f"safe: Another gate than yours is open to ring 3, too{which}. Change one entry of the IDT only."
    yield RIGHT if closed else Check(False, lesson)


def _seen(result: RunResult) -> tuple[object, ...]:
    return result.outcome, result.signals, result.residue_bytes


def _is_refused(enclave: Enclave) -> bool:
    assert enclave.recording is not None
    began = enclave.recording.of_kind(AnnihilationBegan)
    return len(began) == 1 and (began[0].cause, began[0].detail) == ("GUEST_FAULT", _GENERAL_PROTECTION)
