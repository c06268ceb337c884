"""The I/O APIC at 0xFEC00000 (Intel 82093AA data sheet; version 0x20 with an EOI register, like QEMU's).

    0x00 IOREGSEL   index of a register            0x10 IOWIN   the selected register, 32 bits
    0x40 EOI        vector of the interrupt that has ended

    index 0x00 ID (27-24)    0x01 version and last pin    0x02 arbitration ID    0x10 + 2n, 0x11 + 2n: pin n of 24

A redirection entry: vector (7-0), delivery mode (10-8), logical destination (11), low-active (13), remote IRR (14),
level-triggered (15), masked (16), destination (63-56). An edge at a masked pin is lost. Left out: SMI, INIT.
"""

from collections.abc import Callable
from typing import Protocol

from machine.bus.bus import Device
from machine.devices.apic import registers as apic

ADDRESS = 0xFEC0_0000
IOREGSEL, IOWIN, EOI = 0x00, 0x10, 0x40
ID, VERSION, ARBITRATION, REDIRECTION = 0x00, 0x01, 0x02, 0x10
PINS = 24
VERSION_VALUE = (PINS - 1) << 16 | 0x20
LOGICAL, LOW_ACTIVE, REMOTE_IRR, LEVEL, MASKED = 1 << 11, 1 << 13, 1 << 14, 1 << 15, 1 << 16
_WRITABLE = 0xFF00_0000_0001_AFFF
_LOW_HALF = 0xFFFF_FFFF


class SendMessage(Protocol):
    """A function that sends an interrupt message to the local APIC."""

    def __call__(self, destination: int, mode: int, vector: int, *, logical: bool, level_triggered: bool) -> bool:
        """Send a message with the destination and mode of a redirection entry. Return whether it was accepted."""


def _nobody(destination: int, mode: int, vector: int, *, logical: bool, level_triggered: bool) -> bool:  # noqa: ARG001
    return False


class IoApic(Device):
    """The I/O APIC: it turns levels of interrupt lines into messages to the local APIC."""

    STATE = ("_lines", "_index", "_id", "_entries")
    WIRING = ("send", "settle", "masks_changed")

    def __init__(self) -> None:
        super().__init__()
        self.send: SendMessage = _nobody
        self.settle: Callable[[], None] = lambda: None
        """Called before an entry changes, to update lines that are computed only on demand."""
        self.masks_changed: Callable[[], None] = lambda: None
        self._lines = [False] * PINS
        self.reset()

    def reset(self) -> None:
        """Mask all pins."""
        self._index = 0
        self._id = 0
        self._entries = [MASKED] * PINS

    def is_masked(self, pin: int) -> bool:
        """Report whether the entry of a pin is masked."""
        return bool(self._entries[pin] & MASKED)

    def set_pin(self, pin: int, level: bool) -> None:
        """Set the level of a line; it may be unchanged."""
        if self._lines[pin] == level:
            return
        self._lines[pin] = level
        entry = self._entries[pin]
        if entry & LEVEL:
            self._serve_level(pin)
        elif not entry & MASKED and self._is_asserted(pin):
            self._send(entry)

    def end_of_interrupt(self, vector: int) -> None:
        """End a level-triggered interrupt, for the local APIC or a store to EOI."""
        for pin, entry in enumerate(self._entries):
            if entry & LEVEL and entry & REMOTE_IRR and entry & 0xFF == vector:
                self._entries[pin] = entry & ~REMOTE_IRR
                self._serve_level(pin)

    def read(self, offset: int, size: int) -> int:
        """Return IOREGSEL, or, for a 32-bit access, the register that it selects."""
        if offset == IOREGSEL:
            return self._index
        if offset != IOWIN or size != 4:
            return 0
        if self._index in (ID, ARBITRATION):
            return self._id
        if self._index == VERSION:
            return VERSION_VALUE
        pin, high = divmod(self._index - REDIRECTION, 2)
        return self._entries[pin] >> 32 * high & _LOW_HALF if 0 <= pin < PINS else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Select a register, set the selected one, or end an interrupt."""
        if offset == IOREGSEL:
            self._index = value & 0xFF
        elif size != 4:
            return
        elif offset == EOI:
            self.end_of_interrupt(value & 0xFF)
        elif offset == IOWIN and self._index == ID:
            self._id = value & 0x0F00_0000
        elif offset == IOWIN:
            pin, high = divmod(self._index - REDIRECTION, 2)
            if 0 <= pin < PINS:
                self._write_entry(pin, value << 32 * high, _LOW_HALF << 32 * high)

    def _write_entry(self, pin: int, value: int, half: int) -> None:
        self.settle()
        entry = self._entries[pin] & ~(half & _WRITABLE) | value & _WRITABLE
        if not entry & LEVEL:
            entry &= ~REMOTE_IRR
        self._entries[pin] = entry
        self._serve_level(pin)
        self.masks_changed()

    def _is_asserted(self, pin: int) -> bool:
        return self._lines[pin] != bool(self._entries[pin] & LOW_ACTIVE)

    def _serve_level(self, pin: int) -> None:
        """Send the message of a level-triggered pin, if it is asserted and its last interrupt has ended."""
        entry = self._entries[pin]
        ready = entry & (LEVEL | MASKED | REMOTE_IRR) == LEVEL and self._is_asserted(pin)
        if ready and self._send(entry) and entry >> 8 & 7 in (apic.FIXED, apic.LOWEST_PRIORITY):
            self._entries[pin] |= REMOTE_IRR

    def _send(self, entry: int) -> bool:
        """Send the message of an entry. NMI and ExtINT are edge-triggered, whatever the entry says."""
        mode = entry >> 8 & 7
        level = bool(entry & LEVEL) and mode in (apic.FIXED, apic.LOWEST_PRIORITY)
        return self.send(entry >> 56, mode, entry & 0xFF, logical=bool(entry & LOGICAL), level_triggered=level)
