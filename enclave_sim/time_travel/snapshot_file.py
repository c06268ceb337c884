"""Snapshots as files (`.snap`): an enclave goes on elsewhere, later, exactly where it was.

    save(enclave, Path("boot.snap"))
    enclave = load(Path("boot.snap"))

The file, in this order: a line of `enclave-sim-snapshot` and the number `VERSION`, the SHA-256 of the rest, the rest
as MessagePack: what the enclave is made of (configuration, payloads, trust anchors, inputs), its events so far, and its
state. Nothing in it is code of ours, and nothing is believed before its digest matches. The registers lie in it as one
version of Unicorn keeps them.
"""

import hashlib
from pathlib import Path

import msgspec
import unicorn

from enclave_sim.enclave.attester.replayed import RecordedVerifier
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.enclave import EXTERNAL, Enclave, EnclaveSnapshot
from enclave_sim.errors import EnclaveError
from enclave_sim.events import AnyEvent
from enclave_sim.inputs import AnyInput
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.time_travel.state_codec import decode, encode
from machine.ram import RamImage
from machine.snapshot import MachineSnapshot

MAGIC = b"enclave-sim-snapshot "
VERSION = 4
_DIGEST_BYTES = 32


class SnapshotError(EnclaveError):
    """A snapshot file is foreign, damaged, or from another version; or an enclave cannot be saved now."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What is in the file."""

    unicorn: str
    firmware_sha256: str
    configuration: bytes
    payloads: list[bytes]
    anchors: bytes
    inputs: list[AnyInput]
    events: list[AnyEvent]
    at_ns: int
    state: bytes
    """Everything but RAM."""
    ram: list[tuple[int, bytes]]
    external_verifier: bool
    """Whether the verifier was not the one built in: of it the file has the answers so far."""


def save(enclave: Enclave, path: Path) -> None:
    """Write a snapshot of an enclave that keeps a recording in memory.

    Raises SnapshotError without a recording, OSError from the system.
    """
    if enclave.recording is None:
        raise SnapshotError("this enclave keeps no recording in memory; a snapshot file holds the events so far")
    snapshot = enclave.snapshot()
    machine = snapshot.machine
    state = {
        "processor": machine.processor,
        "parts": machine.parts,
        "devices": tuple({**device, "_vmm": None} if "_vmm" in device else device for device in machine.devices),
        "gate": snapshot.gate,
        "completed": tuple(sorted(snapshot.completed)),
        "result": snapshot.result,
        "outside": snapshot.outside,
        "host": enclave.portable_host(),
    }
    configuration = {name: getattr(enclave.configuration, name) for name in EnclaveConfiguration.__slots__}
    file = _File(
        unicorn.__version__,
        enclave.header.firmware_sha256,
        encode(configuration),
        list(enclave.payloads),
        encode(enclave.anchors),
        list(enclave.header.inputs),
        list(enclave.recording.events),  # type: ignore[arg-type]
        machine.at_ns,
        encode(state),
        list(machine.ram.runs),
        enclave.header.configuration["verifier"] == EXTERNAL,
    )
    body = msgspec.msgpack.encode(file)
    content = MAGIC + f"{VERSION}\n".encode() + hashlib.sha256(body).digest() + body
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Enclave:
    """The enclave, where it was. Raises SnapshotError for anything but a snapshot of this version, in one line."""
    file = _read(path)
    try:
        return _made(file)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{path} cannot be restored: {error}") from None


def _read(path: Path) -> _File:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"cannot read {path}: {error.strerror}") from None
    first, newline, rest = content.partition(b"\n")
    if not first.startswith(MAGIC) or not newline:
        raise SnapshotError(f"{path} is not a snapshot: it does not begin with {MAGIC.decode().strip()!r}")
    if first != MAGIC + str(VERSION).encode():
        version = first[len(MAGIC) :].decode("ascii", "replace")
        raise SnapshotError(f"{path} is a snapshot of version {version}; this program reads {VERSION}")
    digest, body = rest[:_DIGEST_BYTES], rest[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise SnapshotError(f"{path} is cut short or was changed: its digest does not match")
    try:
        file = msgspec.msgpack.decode(body, type=_File)
    except ValueError as error:
        raise SnapshotError(f"{path} is not a snapshot: {error}") from None
    if file.unicorn != unicorn.__version__:
        raise SnapshotError(f"{path} is of Unicorn {file.unicorn}; this is {unicorn.__version__}")
    return file


def _made(file: _File) -> Enclave:
    configuration = decode(file.configuration)
    anchors: tuple[TrustAnchor, ...] = decode(file.anchors)
    verifier = RecordedVerifier(file.events) if file.external_verifier else None
    enclave = Enclave(file.payloads, trust_anchors=anchors, inputs=file.inputs, verifier=verifier, **configuration)
    if enclave.header.firmware_sha256 != file.firmware_sha256:
        raise ValueError(f"it is of firmware {file.firmware_sha256}, this is {enclave.header.firmware_sha256}")
    state = decode(file.state)
    machine = MachineSnapshot(
        file.at_ns, state["processor"], state["parts"], state["devices"], RamImage(tuple(file.ram))
    )
    result, outside = state["result"], state["outside"]
    snapshot = EnclaveSnapshot(machine, state["gate"], (), frozenset(state["completed"]), result, outside)
    enclave.resume(snapshot, file.events, state["host"])
    return enclave
