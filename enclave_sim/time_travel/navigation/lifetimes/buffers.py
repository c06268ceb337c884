"""Registers and buffers of devices that keep what was written to them, or hold an answer."""

from collections.abc import Sequence

from enclave_sim.enclave.attester import attestation_port
from enclave_sim.time_travel.navigation.lifetimes.answers import Maker, Met
from enclave_sim.time_travel.navigation.lifetimes.flow import matches
from enclave_sim.time_travel.navigation.lifetimes.taint import Taint
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.position import Position
from machine.bus.bus import Device
from machine.bus.ram import PAGE_SIZE
from machine.devices import tpm_crb
from machine.machine import Machine

BUFFERS = {
    "tpm_buffer": Place(MEMORY, tpm_crb.ADDRESS + tpm_crb.BUFFER, tpm_crb.BUFFER_BYTES),
    "attestation_nonce": Place(MEMORY, attestation_port.ADDRESS + attestation_port.NONCE, attestation_port.NONCE_SIZE),
}
"""Bytes of devices that software reads as they are stored there."""
TPM = "tpm"
"""The space of the secrets that a TPM keeps."""
_DEVICES = {tpm_crb.ADDRESS: tpm_crb.TpmCrb, attestation_port.ADDRESS: attestation_port.AttestationPort}
_ANSWERS = {tpm_crb.ADDRESS: "the TPM", attestation_port.ADDRESS: "the attestation port"}


class Buffers:
    """Looks at the devices' buffers after each step that may have changed them."""

    def __init__(self, machine: Machine, taint: Taint | None = None, secret: bytes = b"") -> None:
        self._taint = taint or Taint()
        self._secret = secret
        self._values: dict[int, int] = {}
        """The bytes of buffers, when they were last looked at."""
        self._devices: dict[int, Device] = {
            page: device
            for page, kind in _DEVICES.items()
            for device in machine.bus.devices
            if isinstance(device, kind)
        }

    def holds(self, address: int) -> bool:
        """Report whether a device of the page of an address holds labelled bytes, in registers or as a secret."""
        page = address & -PAGE_SIZE
        if page not in self._devices:
            return False
        if page == tpm_crb.ADDRESS and self._taint.spaces.get(TPM):
            return True
        return any(byte & -PAGE_SIZE == page for byte in self._taint.in_devices)

    @property
    def holding(self) -> frozenset[int]:
        """The addresses of the pages of devices that hold labelled bytes."""
        return frozenset(page for page in self._devices if self.holds(page))

    def content(self, place: Place) -> bytes:
        """Return bytes of a buffer; none for another place."""
        device = self._devices.get(place.start & -PAGE_SIZE)
        if device is None or not any(one.common(place) == place for one in BUFFERS.values()):
            return b""
        return device.read(place.start % PAGE_SIZE, place.size).to_bytes(place.size, "little")

    def settle(self, page: int, now: Position, by: Maker, stored: Sequence[Place], *, held: bool) -> None:
        """Correct the labels of a device that was written to, by what it now holds.

        Args:
            page: The address of its page.
            now: The position after the write.
            by: The instruction that wrote.
            stored: What it wrote.
            held: The device had labelled bytes before it.
        """
        if page not in self._devices:
            self._send(page, now, by)
            return
        device = Maker(f"{_ANSWERS[page]}, at {by.by}", by.instruction)
        for buffer in BUFFERS.values():
            if buffer.start & -PAGE_SIZE != page:
                continue
            content = self.content(buffer)
            found = matches(self._secret, content) if held else [None] * len(content)
            for byte in [one for one in sorted(self._taint.in_devices) if buffer.start <= one < buffer.end]:
                label, value = self._taint.memory[byte].label, content[byte - buffer.start]
                expected = self._values.get(byte, value) if label.level else self._secret[label.first]
                if value != expected and not (label.level and any(one.start <= byte < one.end for one in stored)):
                    self._taint.put(MEMORY, byte, None, now, device)
            self._values |= {buffer.start + index: value for index, value in enumerate(content)}
            for index, copied in enumerate(found):
                if copied is not None and self._taint.label(MEMORY, buffer.start + index) is None:
                    self._taint.put(MEMORY, buffer.start + index, copied, now, device)
        self._send(page, now, by)

    def _send(self, page: int, now: Position, by: Maker) -> None:
        """Note the labelled bytes that went to registers which do not keep them."""
        gone = [one for one in sorted(self._taint.in_devices) if one & -PAGE_SIZE == page and not _buffered(one)]
        if gone:
            self._taint.meet(Met.SENT, by, now)
        for byte in gone:
            self._taint.drop(MEMORY, byte)


def _buffered(byte: int) -> bool:
    return any(one.start <= byte < one.end for one in BUFFERS.values())


def buffer_name(where: Place) -> str | None:
    """Return the name of the buffer that contains a place, or None."""
    return next((name for name, one in BUFFERS.items() if one.common(where) is not None), None)
