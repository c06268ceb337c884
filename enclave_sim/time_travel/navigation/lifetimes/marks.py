"""Secrets as users mark them: bytes in some place, at a position of the run."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from enclave_sim.attestation.formats.algorithms import ECDSA_P256, ML_DSA_65
from enclave_sim.enclave.attester import attestation_port
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import HostReturned, InputTaken, Quoted, VerifierChallenged
from enclave_sim.inputs import MemoryWrite, RegisterWrite
from enclave_sim.payload.errors import MalformedModule
from enclave_sim.payload.wasm.sections import SectionId, decode_u32, sections
from enclave_sim.time_travel.navigation.lifetimes.buffers import TPM, Buffers
from enclave_sim.time_travel.navigation.provenance.content import content
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, REGISTERS, Place
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.devices.tpm_crb import TpmCrb
from machine.events import Event
from machine.tpm.constants import Alg
from machine.tpm.model import TpmModel

FORMS = "data[:PAYLOAD], nonce[:N], key[:N], input[:N] or answer[:N]"
"""Secrets with a name; a number counts from 0."""
_KEY_TYPES = {ECDSA_P256: Alg.ECC, ML_DSA_65: Alg.MLDSA}
_FORM = re.compile(r"(data|nonce|key|input|answer)(?::(\d+))?")
_ACTIVE, _WITH_INDEX = 0, 2
_END, _CONTINUES = 0x0B, 0x80


@dataclass(frozen=True, slots=True)
class Secret:
    """Marked bytes, which may be in several places."""

    name: str
    places: tuple[Place, ...]
    """The places, in the order of the bytes."""
    content: bytes
    position: Position
    """The position at which they are there."""


def is_named(what: str) -> bool:
    """Report whether a text is the name of a secret, such as `data:1`."""
    return _FORM.fullmatch(what) is not None


def named_secret(timeline: Timeline[Any], what: str) -> Secret:
    """Find a secret by its name. The timeline moves.

    Args:
        timeline: The timeline.
        what: The name; see `is_named`.

    Returns:
        The secret.

    Raises:
        ConfigurationError: The run has none of that name.
    """
    found = _FORM.fullmatch(what)
    assert found is not None
    number = int(found[2] or 0)
    if found[1] == "key":
        secret = _key(timeline, number)
        return Secret(what, (Place(TPM, 0, len(secret)),), secret, Position(0))
    places = _FINDERS[found[1]](timeline, number)
    return marked(timeline, what, places)


def marked(timeline: Timeline[Any], name: str, places: tuple[Place, ...]) -> Secret:
    """Return what places hold at the current position as a secret."""
    buffers = Buffers(timeline.machine)
    held = b"".join(content(timeline.machine, one) or buffers.content(one) for one in places)
    if len(held) != sum(one.size for one in places):
        raise ConfigurationError(f"{name} is in a register of a device that cannot be marked")
    return Secret(name, places, held, timeline.now)


def _data(timeline: Timeline[Any], number: int) -> tuple[Place, ...]:
    """Return the data segments of a payload, in the module that the loader has put into RAM."""
    timeline.go_to(Position(0))
    subject = timeline.subject
    payloads = len(subject.payloads) if isinstance(subject, Enclave) else 0
    if number >= payloads:
        raise ConfigurationError(f"there is no payload {number} in this run; it has {payloads}")
    base, size = subject.loaded.modules[number]
    try:
        found = list(_segments(timeline.machine.ram.read(base, size)))
    except (MalformedModule, IndexError):
        found = []
    places = tuple(Place(MEMORY, base + at, length) for at, length in found if length)
    if not places:
        raise ConfigurationError(f"payload {number} has no data segment; mark a range of its memory by its address")
    return places


def _segments(module: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and length of the bytes of each data segment (core specification, 5.5.14)."""
    for section in sections(module):
        if section.id != SectionId.DATA:
            continue
        count, at = decode_u32(module, section.offset + section.payload_at)
        for _ in range(count):
            kind, at = decode_u32(module, at)
            if kind == _WITH_INDEX:
                _, at = decode_u32(module, at)
            if kind in (_ACTIVE, _WITH_INDEX):
                at = _after_expression(module, at)
            length, at = decode_u32(module, at)
            yield at, length
            at += length


def _after_expression(module: bytes, at: int) -> int:
    """Return the offset after an offset expression: one instruction with a LEB128 number, and END."""
    at += 1
    while module[at] & _CONTINUES:
        at += 1
    if module[at + 1] != _END:
        raise IndexError
    return at + 2


def _nonce(timeline: Timeline[Any], number: int) -> tuple[Place, ...]:
    _run_to(timeline, VerifierChallenged, "nonce", number)
    return (Place(MEMORY, attestation_port.ADDRESS + attestation_port.NONCE, attestation_port.NONCE_SIZE),)


def _key(timeline: Timeline[Any], number: int) -> bytes:
    """Return the secret of the key that made a quote: the TPM derives it, and so has it from the beginning."""
    event = _run_to(timeline, Quoted, "key", number)
    kind = _KEY_TYPES[event.algorithm]
    for device in timeline.machine.bus.devices:
        if isinstance(device, TpmCrb) and isinstance(device.tpm, TpmModel):
            return next(key.secret for key in device.tpm.loaded_keys if key.public.type == kind)
    raise ConfigurationError("only the model of a TPM shows the secrets of its keys")


def _answer(timeline: Timeline[Any], number: int) -> tuple[Place, ...]:
    event = _run_to(timeline, HostReturned, "answer", number)
    timeline.go_to_time(event.at_ns)  # the event belongs to the stay that begins there
    return (REGISTERS["eax"],)


def _input(timeline: Timeline[Any], number: int) -> tuple[Place, ...]:
    event = _run_to(timeline, InputTaken, "input", number)
    known = [event.given] if event.given is not None else list(timeline.subject.header.inputs)
    for one in known:
        if one.after is None and event.scheduled_ns not in (None, one.at_ns):
            continue
        if isinstance(one, MemoryWrite) and event.input == "memory_write":
            data = bytes.fromhex(one.data)
            if timeline.machine.ram.equals(one.address, data):
                return (Place(MEMORY, one.address, len(data)),)
        if isinstance(one, RegisterWrite) and event.input == "register_write" and one.register in REGISTERS:
            return (REGISTERS[one.register],)
    raise ConfigurationError(f"input:{number} is {event.input}, which writes no memory and no register")


def _run_to(timeline: Timeline[Any], kind: type[Event], what: str, number: int) -> Any:
    timeline.go_to(Position(0))
    left = number

    def wanted(event: Event) -> bool:
        nonlocal left
        if not isinstance(event, kind):
            return False
        left -= 1
        return left < 0

    event = timeline.run(wanted=wanted)
    if event is None:
        count = f"{number - left}, counted from 0" if number > left else "none"
        raise ConfigurationError(f"there is no {what} {number} in this run; it has {count}")
    if not timeline.subject.between_steps:
        timeline.step()
    return event


_FINDERS: dict[str, Callable[[Timeline[Any], int], tuple[Place, ...]]] = {
    "data": _data,
    "nonce": _nonce,
    "answer": _answer,
    "input": _input,
}
