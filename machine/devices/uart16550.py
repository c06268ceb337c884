"""A 16550 UART at COM1 (port 0x3F8): transmits at once, receives nothing, raises no interrupts.

Registers by their data-sheet names; DLAB in LCR swaps the first two for the divisor latch.
"""

from collections.abc import Callable

from machine.device import Device

PORT = 0x3F8
THR, IER, FCR, LCR, MCR, LSR, MSR, SCR = range(8)
_DLAB = 0x80
_LSR_THRE_TEMT = 0x60
_MSR_CTS_DSR_DCD = 0xB0


class Uart16550(Device):
    """Transmit side of a serial port; `transmitted` holds every byte sent since reset."""

    def __init__(self) -> None:
        super().__init__()
        self.transmitted = bytearray()
        self.on_transmit: Callable[[bytes], None] | None = None
        """Called with what is sent, as it is sent."""
        self._registers = bytearray(8)
        self._divisor = bytearray([12, 0])

    def reset(self) -> None:
        """Forget everything."""
        self.transmitted.clear()
        self._registers[:] = bytes(8)
        self._divisor[:] = bytes([12, 0])

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Value of a register; the transmitter is always ready."""
        if offset in (THR, IER) and self._registers[LCR] & _DLAB:
            return self._divisor[offset]
        if offset == THR:
            return 0
        if offset == FCR:  # reads as IIR: no interrupt pending
            return 0x01
        return {LSR: _LSR_THRE_TEMT, MSR: _MSR_CTS_DSR_DCD}.get(offset, self._registers[offset])

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Set a register; a byte written to THR is sent."""
        value &= 0xFF
        if offset in (THR, IER) and self._registers[LCR] & _DLAB:
            self._divisor[offset] = value
        elif offset == THR:
            self.transmitted.append(value)
            if self.on_transmit is not None:
                self.on_transmit(bytes([value]))
        elif offset not in (LSR, MSR):
            self._registers[offset] = value
