"""Registers of devices as sources: what an instruction reads from them, and what that came from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enclave_sim.enclave.attester import attestation_port
from enclave_sim.enclave.devices import enclave_block, mailbox
from enclave_sim.events import InputTaken
from enclave_sim.time_travel.navigation.provenance.answers import End, Ending
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.ram import PAGE_SIZE
from machine.devices import tpm_crb
from machine.devices.apic import io_apic, local_apic
from machine.devices.engines import hash_engine, scrub_engine
from machine.tpm import messages
from machine.tpm.constants import Code

_START = Place(MEMORY, tpm_crb.ADDRESS + tpm_crb.CTRL_START, 4)
_HASH_GO = Place(MEMORY, hash_engine.ADDRESS + 0x10, 4)
_HASH_BASE, _HASH_LENGTH, _DIGEST = 0x08, 0x0C, range(0x20, 0x40)
_STORED = {enclave_block.ADDRESS: frozenset([enclave_block.STATUS])}
"""Registers that read as what was written to them last."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The source of the value of a device register."""

    by: str
    ending: Ending | None
    command: Place | None = None
    """The register whose last write made the device compute the value; None if no instruction did."""
    data: Place | None = None
    """The memory from which it computed it."""


class DeviceSources:
    """Explains registers of devices. The timeline moves."""

    def __init__(self, timeline: Timeline[Any], last_write: Callable[[Place, Position], int | None]) -> None:
        self._timeline = timeline
        self._last_write = last_write

    def of(self, place: Place, goal: Position) -> Answer | None:
        """Return what a device register's value came from, at a position; None if it is that of its last write."""
        page, offset = place.start & -PAGE_SIZE, place.start % PAGE_SIZE
        if offset in _STORED.get(page, ()):
            return None
        if page == tpm_crb.ADDRESS:
            return self._tpm(place, offset, goal)
        if page == hash_engine.ADDRESS and offset in _DIGEST:
            return self._digest(goal)
        if page == enclave_block.ADDRESS:
            return self._enclave(offset, goal)
        name = _NAMES.get(page, "a device" if place.start >= self._timeline.machine.ram.size else "memory")
        return Answer(name, Ending(End.DEVICE, f"{name}, register {offset:#x}"))

    def _tpm(self, place: Place, offset: int, goal: Position) -> Answer | None:
        if offset < tpm_crb.BUFFER:
            return Answer("the TPM interface", Ending(End.DEVICE, f"the TPM interface, register {offset:#x}"))
        started = self._last_write(_START, goal)
        stored = self._last_write(place, goal)
        if started is None or (stored is not None and stored > started):
            return None
        timeline = self._timeline
        timeline.go_to_time(max(0, started - 1))
        crb = next(one for one in timeline.machine.bus.devices if isinstance(one, tpm_crb.TpmCrb))
        header = bytes(crb.read(tpm_crb.BUFFER + index, 1) for index in range(messages.HEADER_BYTES))
        number = messages.Header.of(header).code
        command = Code(number).name if number in set(Code) else f"{number:#x}"
        text = f"the answer to {command}, byte {offset - tpm_crb.BUFFER:#x}"
        return Answer("the TPM", Ending(End.TPM, text), _START)

    def _digest(self, goal: Position) -> Answer:
        started = self._last_write(_HASH_GO, goal)
        if started is None:
            return Answer("the hash engine", Ending(End.POWER_ON, "no range has been hashed"))
        timeline = self._timeline
        timeline.go_to_time(started)
        engine = next(one for one in timeline.machine.bus.devices if isinstance(one, hash_engine.HashEngine))
        base, length = (engine.read(register, 4) for register in (_HASH_BASE, _HASH_LENGTH))
        return Answer("the hash engine", None, _HASH_GO, Place(MEMORY, base, length) if length else None)

    def _enclave(self, offset: int, goal: Position) -> Answer:
        sensors = {enclave_block.SENSOR_0: 0, enclave_block.SENSOR_1: 1}
        if offset in sensors:
            return self._taken("sensor_value", f"sensor {sensors[offset]}", goal)
        if offset == enclave_block.UPLINK_COMMIT:
            return self._taken("uplink_ready", "the uplink", goal)
        return Answer("the enclave block", Ending(End.DEVICE, f"the enclave block, register {offset:#x}"))

    def _taken(self, kind: str, what: str, goal: Position) -> Answer:
        events = self._timeline.monitor.events
        taken = [one for one in events if isinstance(one, InputTaken) and one.input == kind and one.at_ns <= goal.at_ns]
        since = f"since {taken[-1].at_ns} ns" if taken else "as configured"
        return Answer(what, Ending(End.INPUT, f"{what}, {since}"))


_NAMES = {
    local_apic.ADDRESS: "the local APIC",
    io_apic.ADDRESS: "the I/O APIC",
    scrub_engine.ADDRESS: "the scrub engine",
    hash_engine.ADDRESS: "the hash engine",
    mailbox.ADDRESS: "AetherHost",
    attestation_port.ADDRESS: "the attestation port",
}
