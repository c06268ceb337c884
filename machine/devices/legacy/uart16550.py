"""A 16550A UART at COM1 (National Semiconductor PC16550D data sheet), interrupting on IRQ 4.

    0x3F8 RBR (read), THR (write)     0x3F9 IER     both: divisor latch while LCR bit 7 (DLAB) is set
    0x3FA IIR (read), FCR (write)     0x3FB LCR     0x3FC MCR     0x3FD LSR     0x3FE MSR     0x3FF SCR

A byte is sent immediately, so the transmitter is always empty. Received bytes wait outside the device until there is
room, so overruns occur only in loopback. As on a PC, MCR bit 3 (OUT2) enables the interrupt line; as on QEMU, even in
loopback, and firmware leaves it set. Not implemented: breaks, parity and framing errors, DMA mode, modem lines that
change (CTS, DSR, DCD are on).
"""

from collections import deque
from collections.abc import Callable

from machine.bus.bus import Device, Line, unconnected
from machine.processor.clock import Clock

PORT = 0x3F8
THR, IER, FCR, LCR, MCR, LSR, MSR, SCR = range(8)
RBR, IIR = THR, FCR

_RECEIVED, _TRANSMITTED, _LINE_STATUS, _MODEM_STATUS = 1, 2, 4, 8  # IER
_NO_INTERRUPT, _ID_MODEM, _ID_TRANSMITTED, _ID_RECEIVED, _ID_LINE, _ID_TIMEOUT = 0x01, 0x00, 0x02, 0x04, 0x06, 0x0C
_FIFO_ENABLE, _RESET_RECEIVER, _FIFOS_ON = 1, 2, 0xC0  # FCR, FCR, IIR
_DLAB = 0x80
_OUT2, _LOOP = 8, 0x10
_DATA_READY, _OVERRUN, _ERRORS, _TRANSMITTER_EMPTY = 1, 2, 0x1E, 0x60  # LSR
_CTS_DSR_DCD, _RING, _TRAILING_EDGE_RING = 0xB0, 0x40, 4  # MSR
_FIFO_SIZE = 16
_TRIGGERS = (1, 4, 8, 14)
_CLOCK_HZ = 115_200
_TIMEOUT_CHARACTERS = 4
_FIRMWARE_DIVISOR = 12


class Uart16550(Device):
    """A serial port. `transmitted` holds every byte sent since reset."""

    STATE = (
        "transmitted",
        "_waiting",
        "_fifo",
        "_divisor",
        "_ier",
        "_fcr",
        "_lcr",
        "_scr",
        "_errors",
        "_mcr",
        "_msr",
        "_transmitter_pending",
        "_timeout_pending",
    )
    WIRING = ("_clock", "irq", "on_transmit")

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.irq: Line = unconnected
        self.on_transmit: Callable[[bytes], None] | None = None
        """Called with each byte as it is sent."""
        self.transmitted = bytearray()
        self._waiting: deque[int] = deque()
        self._fifo: deque[int] = deque()
        self.reset()

    def reset(self) -> None:
        """Return to the state left by PC firmware: 9600 baud, no interrupts. Discard all bytes."""
        self.transmitted.clear()
        self._waiting.clear()
        self._fifo.clear()
        self._divisor = _FIRMWARE_DIVISOR
        self._ier = self._fcr = self._lcr = self._scr = self._errors = 0
        self._mcr = _OUT2
        self._msr = _CTS_DSR_DCD
        self._transmitter_pending = self._timeout_pending = False
        self.deadline_ns = None
        self._update()

    def receive(self, data: bytes) -> None:
        """Receive bytes on the line."""
        self._waiting.extend(data)
        self._take_waiting()

    def tick(self, now_ns: int) -> None:
        """Raise the timeout interrupt, if bytes have waited in the FIFO for four character times."""
        if self.deadline_ns is not None and self.deadline_ns <= now_ns:
            self.deadline_ns = None
            self._timeout_pending = bool(self._fifo)
            self._update()

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return a register."""
        if offset <= IER and self._lcr & _DLAB:
            return self._divisor >> 8 * offset & 0xFF
        if offset == RBR:
            return self._read_received()
        if offset == IIR:
            value = self._interrupt() | (_FIFOS_ON if self._fcr & _FIFO_ENABLE else 0)
            if value & 0xF == _ID_TRANSMITTED:
                self._transmitter_pending = False
                self._update()
            return value
        if offset == LSR:
            value = _TRANSMITTER_EMPTY | self._errors | (_DATA_READY if self._fifo else 0)
            self._errors = 0
            self._update()
            return value
        if offset == MSR:
            value = self._msr
            self._msr &= 0xF0
            self._update()
            return value
        return {IER: self._ier, LCR: self._lcr, MCR: self._mcr, SCR: self._scr}[offset]

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Set a register; a byte written to THR is sent."""
        if offset <= IER and self._lcr & _DLAB:
            shift = 8 * offset
            self._divisor = self._divisor & ~(0xFF << shift) | value << shift
        elif offset == THR:
            self._transmit(value)
        elif offset == IER:
            if (self._ier ^ value) & _TRANSMITTED:  # enabling it raises it, because the transmitter is empty
                self._transmitter_pending = bool(value & _TRANSMITTED)
            self._ier = value & 0xF
            self._update()
        elif offset == FCR:
            self._control_fifos(value)
        elif offset == MCR:
            self._mcr = value & 0x1F
            self._follow_modem_lines()
            self._take_waiting()
        elif offset == LCR:
            self._lcr = value
        elif offset == SCR:
            self._scr = value

    # Transmitter

    def _transmit(self, byte: int) -> None:
        self._transmitter_pending = False
        self._update()
        if self._mcr & _LOOP:
            self._put(byte)
        else:
            self.transmitted.append(byte)
            if self.on_transmit is not None:
                self.on_transmit(bytes([byte]))
        self._transmitter_pending = True
        self._update()

    # Receiver. Without FIFOs the buffer register is a one-byte FIFO, which a new byte overwrites.

    def _put(self, byte: int) -> None:
        size = _FIFO_SIZE if self._fcr & _FIFO_ENABLE else 1
        if len(self._fifo) >= size:
            self._errors |= _OVERRUN
            if size == 1:
                self._fifo.clear()
        if len(self._fifo) < size:
            self._fifo.append(byte)
        self._restart_timeout()

    def _take_waiting(self) -> None:
        size = _FIFO_SIZE if self._fcr & _FIFO_ENABLE else 1
        while self._waiting and len(self._fifo) < size and not self._mcr & _LOOP:
            self._put(self._waiting.popleft())
        self._update()

    def _read_received(self) -> int:
        value = self._fifo.popleft() if self._fifo else 0
        self._restart_timeout()
        self._take_waiting()
        return value

    def _restart_timeout(self) -> None:
        self._timeout_pending = False
        deadline = None
        if self._fifo and self._fcr & _FIFO_ENABLE:
            deadline = self._clock.now_ns + _TIMEOUT_CHARACTERS * self._character_ns()
        if deadline != self.deadline_ns:
            self.deadline_ns = deadline
            self.rescheduled()

    def _character_ns(self) -> int:
        """Return the time of start, data, parity and stop bits at the rate of the divisor latch (0 is 65536)."""
        bits = 1 + 5 + (self._lcr & 3) + (self._lcr >> 3 & 1) + 1 + (self._lcr >> 2 & 1)
        return bits * (self._divisor or 0x10000) * 1_000_000_000 // _CLOCK_HZ

    def _control_fifos(self, value: int) -> None:
        if (value ^ self._fcr) & _FIFO_ENABLE:
            value |= _RESET_RECEIVER
        self._fcr = value & 0xC9 if value & _FIFO_ENABLE else 0
        if value & _RESET_RECEIVER:
            self._fifo.clear()
            self._restart_timeout()
        self._take_waiting()

    # Interrupts

    def _follow_modem_lines(self) -> None:
        """Update MSR. In loopback RTS, DTR, OUT1 and OUT2 are the modem's lines; a change sets the delta bits."""
        lines = _CTS_DSR_DCD
        if self._mcr & _LOOP:
            lines = (self._mcr & 2) << 3 | (self._mcr & 1) << 5 | (self._mcr & 0xC) << 4
        changed = (self._msr ^ lines) >> 4 & 0xF
        if changed & _TRAILING_EDGE_RING and lines & _RING:
            changed &= ~_TRAILING_EDGE_RING
        self._msr = lines | self._msr & 0xF | changed

    def _interrupt(self) -> int:
        """Return bits 3 to 0 of IIR: the enabled interrupt with the highest priority."""
        enabled = self._ier
        if enabled & _LINE_STATUS and self._errors & _ERRORS:
            return _ID_LINE
        if enabled & _RECEIVED:
            trigger = _TRIGGERS[self._fcr >> 6] if self._fcr & _FIFO_ENABLE else 1
            if self._timeout_pending:
                return _ID_TIMEOUT
            if len(self._fifo) >= trigger:
                return _ID_RECEIVED
        if enabled & _TRANSMITTED and self._transmitter_pending:
            return _ID_TRANSMITTED
        if enabled & _MODEM_STATUS and self._msr & 0xF:
            return _ID_MODEM
        return _NO_INTERRUPT

    def _update(self) -> None:
        self.irq(self._interrupt() != _NO_INTERRUPT and bool(self._mcr & _OUT2))
