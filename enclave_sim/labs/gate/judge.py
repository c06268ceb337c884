"""The judge of lab `gate`: it boots the kernel that was handed in, and calls the gate from ring 3.

The numbers that the guest passes depend on the image, so a kernel cannot know the answers in advance.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import KernelDied
from enclave_sim.events import AnnihilationBegan
from enclave_sim.labs.bounded import Bounds
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check
from enclave_sim.labs.kernel import IMAGE, handed_in_kernel
from enclave_sim.labs.lab import Judged
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import one_line
from enclave_sim.specification import Attestation, EngineName
from firmware import Firmware
from machine.events import InterruptDelivered, InterruptRaised, RingTransition

_PARTS = ("gate", "handler", "safe")
_LIMIT_NS = 2_000_000
_CALLS = 3
_KEPT = 0x1234_5678
_GENERAL_PROTECTION = 13


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
        called = _run(kernel, _calling(vector, numbers))
        others = [_run(kernel, _calling(other, numbers)) for other in _others(vector, digest)]
    except KernelDied as error:
        return _nothing(f"The kernel died: {one_line(str(error))[:200]}.")
    gate = tuple(_gate(called, vector))
    handler = tuple(_handler(called, numbers, _mask(case))) if gate == (RIGHT,) else gate
    safe = tuple(_safe(called, others)) if handler[0] is RIGHT else (Check(False, "safe: the gate does not work yet."),)
    runs = tuple(result.digest for result, _ in (called, *others))
    return Judged({"gate": gate, "handler": handler, "safe": safe}, runs)


def _vector(case: Case) -> int:
    return case.number("vector", 0x90, 0xEE)


def _others(vector: int, digest: bytes) -> list[int]:
    """Return the neighbours of a vector, and some that the kernel cannot know."""
    unknown = [0x90 + byte % 0x5F for byte in digest[-6:]]
    return list(dict.fromkeys([vector - 1, vector + 1, *(one for one in unknown if one != vector)]))


def _mask(case: Case) -> int:
    return case.number("mask", 0x100_0000, 0x7FFF_FFFF)


def _nothing(problem: str) -> Judged:
    return Judged(dict.fromkeys(_PARTS, (Check(False, problem),)))


def _calling(vector: int, numbers: Sequence[int]) -> bytes:
    """Return a guest that passes each number to the gate in EAX, and emits EAX, and EBX, which must be kept."""
    code = b""
    for number in numbers:
        code += b"\xbb" + _KEPT.to_bytes(4, "little") + b"\xb8" + number.to_bytes(4, "little") + bytes([0xCD, vector])
        code += b"\x53\x89\xc7\xb8\x01\x00\x00\x00\xcd\x80"  # push rbx; emit EAX
        code += b"\x5f\xb8\x01\x00\x00\x00\xcd\x80"  # pop rdi; emit it
    return code + b"\xb8\x03\x00\x00\x00\xcd\x80\x0f\x0b"


_Ran = tuple[RunResult, Enclave]


def _run(kernel: Firmware, code: bytes) -> _Ran:
    bounds, options = (
        Bounds(),
        EnclaveOptions.of(attestation=Attestation.OFF, engine=EngineName.NATIVE, firmware=kernel),
    )
    enclave = options.enclave(code, recorder=bounds)
    return bounds.run(enclave, _LIMIT_NS), enclave


def _gate(called: _Ran, vector: int) -> Iterator[Check]:
    _, enclave = called
    assert enclave.recording is not None
    entered = [one for one in enclave.recording.of_kind(RingTransition) if one.to_ring == 3]
    raised = enclave.recording.of_kind(InterruptRaised)
    delivered = [one.vector for one in enclave.recording.of_kind(InterruptDelivered)]
    if not entered:
        yield Check(False, "gate: The kernel does not come to its guest: look at the recording of a run of beacon.")
    elif vector in delivered:
        yield RIGHT
    elif any(one.vector == _GENERAL_PROTECTION and one.error_code == vector * 8 + 2 for one in raised):
        yield Check(False, "gate: #GP names the gate: ring 3 may not use it. Which field says who may?")
    else:
        yield Check(False, "gate: The guest's INT does not reach a handler.")


def _handler(called: _Ran, numbers: Sequence[int], mask: int) -> Iterator[Check]:
    result, _ = called
    pairs = list(zip(result.signals[::2], result.signals[1::2], strict=False))
    found, kept = [one for one, _ in pairs], [one for _, one in pairs]
    if not found:
        yield Check(False, "handler: It does not return to the guest. A handler ends in IRETQ.")
        return
    if found == [number ^ mask for number in numbers]:
        yield RIGHT
    elif found == list(numbers):
        yield Check(False, "handler: EAX comes back unchanged: this is another handler, or it restores EAX.")
    elif found == [number | mask for number in numbers] or found == [number & mask for number in numbers]:
        yield Check(False, "handler: That is not XOR.")
    elif not any(found):
        yield Check(False, "handler: EAX comes back as zero: leaving the kernel, it is cleared.")
    else:
        yield Check(False, "handler: EAX does not come back as EAX XOR your mask.")
    lost = "handler: EBX is another one after the call. Keep what you do not need, or do not touch it."
    yield RIGHT if len(kept) == _CALLS and set(kept) == {_KEPT} else Check(False, lost)


def _safe(called: _Ran, others: Sequence[_Ran]) -> Iterator[Check]:
    result, _ = called
    ended = result.outcome == "COMPLETED" and not result.residue_bytes
    yield RIGHT if ended else Check(False, f"safe: The run ends as {result.outcome}, with residue or not as it should.")
    opened = "safe: Another gate than yours is open to ring 3, too. Change one entry of the IDT only."
    closed = all(_refused(enclave) for _, enclave in others)
    yield RIGHT if closed else Check(False, opened)


def _refused(enclave: Enclave) -> bool:
    assert enclave.recording is not None
    began = enclave.recording.of_kind(AnnihilationBegan)
    return len(began) == 1 and (began[0].cause, began[0].detail) == ("GUEST_FAULT", _GENERAL_PROTECTION)
