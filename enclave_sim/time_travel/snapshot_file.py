"""Snapshot files (`.snap`): an enclave continues later, in another process, exactly where it was.

    save(enclave, Path("boot.snap"))
    enclave = load(Path("boot.snap"))

The file, in this order: a line with the format version, the SHA-256 of the rest, and the rest as MessagePack: a
recording's header and the payloads, from which the enclave is rebuilt; its events so far; and its state. It contains
only data, no pickled objects, and nothing is used before its digest matches. The registers are stored in the format of
one version of Unicorn, so another version refuses the file.
"""

import hashlib
from pathlib import Path

import msgspec
import unicorn

from enclave_sim.enclave.enclave import Enclave, EnclaveSnapshot
from enclave_sim.enclave.kernel.firmware_file import firmware_of
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.events import AnyEvent
from enclave_sim.files.reading import IMAGE, read_file
from enclave_sim.files.writing import output_file
from enclave_sim.reasons import reason
from enclave_sim.recording.format import Header
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import Phase
from enclave_sim.time_travel.replay import making
from enclave_sim.time_travel.state_codec import decode, encode
from machine.bus.ram import RamImage
from machine.snapshot import MachineSnapshot

MAGIC = b"enclave-sim-snapshot "
VERSION = 10
_DIGEST_BYTES = 32


class SnapshotError(EnclaveError):
    """A snapshot file is foreign, damaged, or from another version, or an enclave cannot be saved."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The content of the file."""

    unicorn: str
    header: Header
    """The configuration of the enclave, as in a recording."""
    firmware: bytes | None
    """The image of a kernel that is not the built-in one."""
    payloads: list[bytes]
    events: list[AnyEvent]
    reached: list[Phase]
    """The phases that have reached their target state."""
    result: RunResult | None
    at_ns: int
    state: bytes
    """All state except RAM, encoded by `state_codec`."""
    ram: list[tuple[int, bytes]]


def save(enclave: Enclave, path: Path) -> None:
    """Write a snapshot of an enclave to a file.

    The file is made only if the enclave that it gives back has the same state.

    Args:
        enclave: An enclave that keeps a recording in memory.
        path: The file to write, completely or not at all.

    Raises:
        SnapshotError: The enclave keeps no recording, or its state cannot be saved.
        ConfigurationError: The file cannot be written.
    """
    if enclave.recording is None:
        raise SnapshotError("this enclave keeps no recording in memory; a snapshot file holds the events so far")
    try:
        body = msgspec.msgpack.encode(_file_of(enclave))
        again = msgspec.msgpack.encode(_file_of(_made(_decoded(body))))
    except (EnclaveError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SnapshotError(
            f"the state at {enclave.machine.clock.now_ns} ns cannot be saved: {reason(error)}"
        ) from None
    if body != again:
        raise SnapshotError(
            f"the state at {enclave.machine.clock.now_ns} ns cannot be saved: restored, it is another one"
        )
    with output_file(path, "save a snapshot to") as written:
        written.write(MAGIC + f"{VERSION}\n".encode() + hashlib.sha256(body).digest() + body)


def _file_of(enclave: Enclave) -> _File:
    assert enclave.recording is not None
    snapshot = enclave.snapshot()
    machine = snapshot.machine
    state = {
        "processor": machine.processor,
        "parts": machine.parts,
        # The VMM's state belongs to this process; `portable_host` returns its portable form.
        "devices": tuple({**device, "_vmm": None} if "_vmm" in device else device for device in machine.devices),
        "gate": snapshot.gate,
        "trace": snapshot.trace,
        "outside": snapshot.outside,
        "host": enclave.portable_host(),
    }
    return _File(
        unicorn.__version__,
        enclave.header,
        None if enclave.configuration.firmware is None else enclave.configuration.firmware.image,
        list(enclave.payloads),
        list(enclave.recording.events),  # type: ignore[arg-type]
        sorted(snapshot.reached),
        snapshot.result,
        machine.at_ns,
        encode(state),
        list(machine.ram.runs),
    )


def load(path: Path) -> Enclave:
    """Return the saved enclave. Raises SnapshotError for anything but a snapshot of this version."""
    file = _read(path)
    try:
        return _made(file)
    except (EnclaveError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{path} cannot be restored: {reason(error)}") from None


def _read(path: Path) -> _File:
    try:
        content = read_file(path, IMAGE)
    except ConfigurationError as error:
        raise SnapshotError(str(error)) from None
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
        file = _decoded(body)
    except ValueError as error:
        raise SnapshotError(f"{path} is not a snapshot: {reason(error)}") from None
    if file.unicorn != unicorn.__version__:
        raise SnapshotError(f"{path} is of Unicorn {file.unicorn}; this is {unicorn.__version__}")
    return file


def _decoded(body: bytes) -> _File:
    return msgspec.msgpack.decode(body, type=_File)


def _made(file: _File) -> Enclave:
    kernel = None if file.firmware is None else firmware_of(file.firmware)
    payloads, options = making(file.header, file.payloads, file.events, kernel)
    enclave = options.enclave(payloads, inputs=file.header.inputs)
    state = decode(file.state)
    machine = MachineSnapshot(
        file.at_ns, state["processor"], state["parts"], state["devices"], RamImage(tuple(file.ram))
    )
    reached = frozenset(file.reached)
    snapshot = EnclaveSnapshot(machine, state["gate"], (), state["trace"], reached, file.result, state["outside"])
    enclave.resume(snapshot, file.events, state["host"])
    return enclave
