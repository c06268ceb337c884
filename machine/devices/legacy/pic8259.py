"""The 8259A interrupt controllers of a PC: two, the second cascaded into IR2 of the first (Intel 8259A data sheet).

    0x20 first, 0xA0 second:  write ICW1 (bit 4 set), OCW2 (bits 4, 3 = 00) or OCW3 (01); read IRR, ISR or a poll
    0x21 first, 0xA1 second:  write ICW2 to ICW4 after an ICW1, else OCW1; read IMR
    0x4D0, 0x4D1              ELCR: the inputs that are level-triggered (82371 data sheet); not IRQ 0, 1, 2, 8, 13

As in the 82371, ELCR replaces bit LTIM of ICW1. As on QEMU, an edge stays requested when the line falls again, and an
input that is set high again after ICW1 is an edge. If the request is gone at the acknowledgement, the result is the
spurious IRQ 7 or 15. Reset gives the state left by PC firmware: vectors from 0x08 and 0x70, all masked. Not
implemented: 8080 vectors (ICW4 bit 0 clear), ICW3 (the wiring is fixed).
"""

from collections.abc import Callable

from machine.bus.bus import Device, Line, unconnected
from machine.state import Stateful

FIRST_PORT, SECOND_PORT, ELCR_PORT = 0x20, 0xA0, 0x4D0
FIRST_OFFSET, SECOND_OFFSET, ELCR_OFFSET = 0, 2, 4
_CASCADE = 2
_SPURIOUS = 7
_ICW1, _SINGLE, _WITH_ICW4 = 0x10, 2, 1
_AUTO_EOI, _SPECIAL_FULLY_NESTED = 2, 0x10
_OCW3, _POLL = 8, 4


class Pic8259(Stateful):
    """One controller. IR numbers are 0 to 7; all register bits are by IR number."""

    STATE = (
        "_lines",
        "imr",
        "elcr",
        "base",
        "isr",
        "irr",
        "_highest",
        "_read_isr",
        "polled",
        "_special_mask",
        "_auto_eoi",
        "_rotate_on_auto_eoi",
        "_special_fully_nested",
        "_expected",
    )
    WIRING = ("_level_capable", "_firmware_base")

    def __init__(self, base: int, level_capable: int) -> None:
        self._level_capable = level_capable
        self._firmware_base = base
        self._lines = 0
        self.reset()

    def reset(self) -> None:
        """Return to the state left by PC firmware."""
        self.imr, self.elcr, self.base = 0xFF, 0, self._firmware_base
        self._initialise()
        self.imr = 0xFF

    def _initialise(self) -> None:
        """Clear masks, interrupts in service and latched edges, as ICW1 does; IR7 has the lowest priority."""
        self.imr = self.isr = 0
        self._lines &= self.elcr
        self.irr = self._lines
        self._highest = 0
        self._read_isr = self.polled = self._special_mask = False
        self._auto_eoi = self._rotate_on_auto_eoi = self._special_fully_nested = False
        self._expected: list[int] = []

    def set_input(self, ir: int, level: bool) -> bool:
        """Set the level of an input. Return False if it is unchanged, and with it everything else."""
        bit = 1 << ir
        if bool(self._lines & bit) == level:
            return False
        if level:
            self.irr |= bit
        else:
            self.irr &= ~(bit & self.elcr)
        self._lines ^= bit
        return True

    def set_elcr(self, value: int) -> None:
        """Set ELCR: the inputs that are level-triggered."""
        self.elcr = value & self._level_capable
        self.irr = self.irr & ~self.elcr | self._lines & self.elcr

    def requested(self) -> int | None:
        """Return the IR for which INT is asserted, the highest request above all interrupts in service, or None."""
        requests = self._rotated(self.irr & ~self.imr)
        if not requests:
            return None
        in_service = self._rotated(self.isr & ~self.imr if self._special_mask else self.isr)
        request, service = requests & -requests, in_service & -in_service
        ir = request.bit_length() - 1 + self._highest & 7
        nested = self._special_fully_nested and ir == _CASCADE and request == service
        return ir if not service or request < service or nested else None

    def acknowledge(self) -> int:
        """Move an IR into service, for INTA, and return it. Without a request return IR7, not in service (spurious)."""
        ir = self.requested()
        if ir is None:
            return _SPURIOUS
        bit = 1 << ir
        self.irr &= ~bit | self.elcr
        if not self._auto_eoi:
            self.isr |= bit
        elif self._rotate_on_auto_eoi:
            self._highest = ir + 1 & 7
        return ir

    def read(self, register: int) -> int:
        """Return the register with A0 = `register`; after OCW3 requested a poll, the poll word."""
        if self.polled:
            self.polled = False
            return 0 if self.requested() is None else 0x80 | self.acknowledge()
        if register == 1:
            return self.imr
        return self.isr if self._read_isr else self.irr

    def write(self, register: int, value: int) -> None:
        """Execute a command or initialisation word; A0 = `register`."""
        if register == 1:
            self._write_data(value)
        elif value & _ICW1:
            self._initialise()
            self._expected = [2] + ([] if value & _SINGLE else [3]) + ([4] if value & _WITH_ICW4 else [])
        elif value & _OCW3:
            self.polled = bool(value & _POLL)
            if value & 2:
                self._read_isr = bool(value & 1)
            if value & 0x40:
                self._special_mask = bool(value & 0x20)
        else:
            self._write_ocw2(value >> 5, value & 7)

    def _write_data(self, value: int) -> None:
        word = self._expected.pop(0) if self._expected else 0
        if word == 0:
            self.imr = value
        elif word == 2:
            self.base = value & 0xF8
        elif word == 4:
            self._auto_eoi = bool(value & _AUTO_EOI)
            self._special_fully_nested = bool(value & _SPECIAL_FULLY_NESTED)

    def _write_ocw2(self, command: int, ir: int) -> None:
        """Execute OCW2: R (rotate), SL (specific) and EOI are bits 2, 1 and 0 of the command."""
        rotate, specific, end = command & 4, command & 2, command & 1
        if end and not specific:
            served = self._rotated(self.isr & ~self.imr if self._special_mask else self.isr)
            if not served:
                return
            ir = (served & -served).bit_length() - 1 + self._highest & 7
        if end:
            self.isr &= ~(1 << ir)
            if rotate:
                self._highest = ir + 1 & 7
        elif rotate and specific:
            self._highest = ir + 1 & 7
        elif not specific:
            self._rotate_on_auto_eoi = bool(rotate)

    def _rotated(self, irs: int) -> int:
        """Return IR bits in order of priority: bit 0 is the highest."""
        return (irs >> self._highest | irs << 8 - self._highest) & 0xFF


class PicPair(Device):
    """Both controllers, with the IRQ numbers of a PC: 0 to 7 and 8 to 15; IRQ 2 is the cascade."""

    PARTS = ("first", "second")
    WIRING = ("output", "settle", "masks_changed")

    def __init__(self) -> None:
        super().__init__()
        self.output: Line = unconnected
        """INT of the first controller."""
        self.settle: Callable[[], None] = lambda: None
        """Called before a register is accessed, to update lines that are computed only on demand."""
        self.masks_changed: Callable[[], None] = lambda: None
        self.first, self.second = Pic8259(0x08, 0xF8), Pic8259(0x70, 0xDE)

    def reset(self) -> None:
        """Return to the state left by PC firmware."""
        self.first.reset()
        self.second.reset()
        self._propagate()
        self.masks_changed()

    def is_masked(self, irq: int) -> bool:
        """Report whether IMR masks an IRQ (0 to 7)."""
        return bool(self.first.imr >> irq & 1)

    def set_irq(self, irq: int, level: bool) -> None:
        """Set the level of an interrupt line."""
        if (self.second if irq >= 8 else self.first).set_input(irq & 7, level):
            self._propagate()

    def acknowledge(self) -> int:
        """Run the INTA cycle and return the vector."""
        ir = self.first.acknowledge()
        if ir != _CASCADE:
            self._acknowledged(self.first)
            return self.first.base | ir
        ir = self.second.acknowledge()
        self._acknowledged(self.second)
        return self.second.base | ir

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return a register of the first controller, of the second, or ELCR."""
        self.settle()
        if offset >= ELCR_OFFSET:
            return self._controller(offset - ELCR_OFFSET).elcr
        controller = self._controller(offset >> 1)
        polled, value = controller.polled, controller.read(offset & 1)
        if polled:
            self._acknowledged(controller)
        return value

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write a word to the first controller, to the second, or to ELCR."""
        self.settle()
        if offset >= ELCR_OFFSET:
            self._controller(offset - ELCR_OFFSET).set_elcr(value)
        else:
            self._controller(offset >> 1).write(offset & 1, value)
        self._propagate()
        self.masks_changed()

    def _controller(self, number: int) -> Pic8259:
        return self.second if number else self.first

    def _acknowledged(self, controller: Pic8259) -> None:
        if controller is self.second:
            self.first.set_input(_CASCADE, False)  # INT falls during INTA, so that the next request is an edge
        self._propagate()

    def _propagate(self) -> None:
        self.first.set_input(_CASCADE, self.second.requested() is not None)
        self.output(self.first.requested() is not None)
