"""The local vector table of the local APIC (SDM volume 3, "Local Vector Table"), and the pins LINT0 and LINT1.

An entry configures one local interrupt source: vector (bits 7-0), delivery mode (10-8), for the pins polarity (13),
remote IRR (14) and level trigger (15), mask (16), for the timer its mode (18-17).
"""

from machine.devices.apic import registers as reg
from machine.state import Stateful

_PINS = (reg.LVT_LINT0, reg.LVT_LINT1)
_WRITABLE = {
    reg.LVT_TIMER: 0x700FF,
    reg.LVT_THERMAL: 0x107FF,
    reg.LVT_PERFORMANCE: 0x107FF,
    reg.LVT_LINT0: 0x1A7FF,
    reg.LVT_LINT1: 0x1A7FF,
    reg.LVT_ERROR: 0x100FF,
}


class LocalVectorTable(Stateful):
    """The entries by their register offset, and the levels of the pins."""

    STATE = ("entries", "pins")

    def __init__(self) -> None:
        self.entries = dict.fromkeys(_WRITABLE, reg.MASKED)
        self.pins = [False, False]

    def reset(self) -> None:
        """Mask all entries."""
        self.entries = dict.fromkeys(_WRITABLE, reg.MASKED)

    def write(self, register: int, value: int, *, enabled: bool) -> int:
        """Set an entry and return it. It stays masked while the APIC is software disabled."""
        entry = value & _WRITABLE[register]
        if not enabled:
            entry |= reg.MASKED
        if entry & reg.LEVEL:
            entry |= self.entries[register] & reg.REMOTE_IRR
        self.entries[register] = entry
        return entry

    def mask_all(self) -> None:
        """Mask all entries, because the enable bit of SVR was cleared."""
        for register in self.entries:
            self.entries[register] |= reg.MASKED

    def set_pin(self, pin: int, level: bool) -> int | None:
        """Set the level of a pin. Return its entry if this edge interrupts: NMI, or fixed and edge-triggered."""
        self.pins[pin] = level
        entry = self._asserted(pin)
        if entry is None:
            return None
        mode = entry >> 8 & 7
        return entry if mode == reg.NMI or (mode == reg.FIXED and not entry & reg.LEVEL) else None

    def has_external(self) -> bool:
        """Report whether a pin with delivery mode ExtINT is asserted."""
        return any((entry := self._asserted(pin)) is not None and entry >> 8 & 7 == reg.EXT_INT for pin in (0, 1))

    def level_requests(self) -> list[int]:
        """Return the registers of level-triggered pins that are asserted and not accepted yet."""
        wanted, relevant = reg.LEVEL, reg.LEVEL | reg.REMOTE_IRR | 7 << 8  # fixed is delivery mode 0
        return [
            register
            for pin, register in enumerate(_PINS)
            if (entry := self._asserted(pin)) is not None and entry & relevant == wanted
        ]

    def ended(self, vector: int) -> None:
        """End a level-triggered interrupt, so that its pins may interrupt again."""
        for register in _PINS:
            if self.entries[register] & reg.VECTOR == vector:
                self.entries[register] &= ~reg.REMOTE_IRR

    def _asserted(self, pin: int) -> int | None:
        """Return the entry of a pin if it is asserted and not masked."""
        entry = self.entries[_PINS[pin]]
        if entry & reg.MASKED or self.pins[pin] == bool(entry & reg.POLARITY):
            return None
        return entry
