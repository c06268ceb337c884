"""The 8254 interval timer of a PC (Intel 8254 data sheet), at 1,193,182 Hz, and the port that gates its channel 2.

    0x40, 0x41, 0x42  count of channel 0, 1, 2: low byte, high byte, or both in turn
    0x43              control word: channel (7-6; 3 = read-back), access (5-4; 0 = latch), mode (3-1), BCD (0)
    0x61              system control port B: bit 0 gate of channel 2, bit 1 speaker data, bits 3-2 kept; reads also
                      bit 4 refresh (follows channel 1), bit 5 OUT of channel 2

OUT of channel 0 is IRQ 0, at the same nanosecond as on QEMU (hw/timer/i8254.c). So writing a count starts a new cycle
immediately in every mode, and its clocks begin at the store. Clock n is n / 1,193,182 s later, rounded up to whole ns.
In mode 2 the line rises, as in the data sheet, one clock after each n-th clock (which loads the count), rounded down.
It is low until it first rises, and for one clock before each later rise. In mode 4 it is high for the clock at which
the count is reached. A control word does not change the line. Reset gives the state left by PC firmware: channel 0 in
mode 2 with the longest count, channel 1 for memory refresh. Channel 0 raises interrupts by itself only while `watched`;
otherwise a reader of the line calls `settle` first.
"""

from machine.bus.bus import Device, Line, unconnected
from machine.devices.legacy.pit_channel import LOW_THEN_HIGH, PitChannel
from machine.processor.clock import Clock

PORT, CONTROL_PORT_B = 0x40, 0x61
CONTROL, CONTROL_PORT_B_OFFSET = 3, 4
_READ_BACK = 3
_GATE, _WRITABLE = 1, 0x0F
_REFRESH_COUNT = 18


class Pit8254(Device):
    """Three channels and system control port B."""

    STATE = ("watched", "_port_b", "_seen_ns", "_level")
    PARTS = ("channels",)
    WIRING = ("_clock", "irq")

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.irq: Line = unconnected
        self.channels = [PitChannel() for _ in range(3)]
        self.watched = False
        self._port_b = 0
        self.reset()

    def reset(self) -> None:
        """Return to the state left by PC firmware."""
        now = self._clock.now_ns
        self._port_b = 0
        for channel, mode, count in zip(self.channels, (2, 2, 3), (0, _REFRESH_COUNT, 0), strict=True):
            channel.program(LOW_THEN_HIGH, mode, bcd=False)
            channel.load(now, count)
        self.channels[2].set_gate(now, False)
        self._seen_ns = now
        self._set_line(False)
        self._schedule(now)

    def watch(self, watched: bool) -> None:
        """Set whether IRQ 0 is unmasked at an interrupt controller."""
        if watched != self.watched:
            self.settle()
            self.watched = watched
            self._schedule(self._clock.now_ns)

    def settle(self) -> None:
        """Update the interrupt line."""
        self._follow(self._clock.now_ns)

    def tick(self, now_ns: int) -> None:
        """Change the interrupt line."""
        self._follow(now_ns)
        self._schedule(now_ns)

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return a byte of a channel, or port B. The control word cannot be read."""
        now = self._clock.now_ns
        if offset == CONTROL_PORT_B_OFFSET:
            refresh = self.channels[1].elapsed(now) // _REFRESH_COUNT & 1
            return self._port_b | refresh << 4 | self.channels[2].out(now) << 5
        return 0 if offset == CONTROL else self.channels[offset].read(now)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write a byte of a count, a control word, or port B."""
        now = self._clock.now_ns
        self._follow(now)
        if offset == CONTROL_PORT_B_OFFSET:
            self._port_b = value & _WRITABLE
            self.channels[2].set_gate(now, bool(value & _GATE))
        elif offset == CONTROL:
            self._control(now, value)
        elif self.channels[offset].write(now, value) and offset == 0:
            self._set_line(self.channels[0].line(now))  # even if it is unchanged: see pic8259.py
        self._schedule(now)

    def _control(self, now: int, value: int) -> None:
        number, access = value >> 6 & 3, value >> 4 & 3
        if number == _READ_BACK:
            for index, channel in enumerate(self.channels):
                if value & 2 << index:
                    channel.read_back(now, count=not value & 0x20, status=not value & 0x10)
        elif access == 0:
            self.channels[number].latch(now)
        else:
            self.channels[number].program(access, value >> 1 & 7, bcd=bool(value & 1))

    def _follow(self, now: int) -> None:
        """Update the line. The controllers see all edges since the last update as one edge."""
        channel = self.channels[0]
        if channel.rose(self._seen_ns, now):
            self._set_line(False)
            self._set_line(True)
        self._seen_ns = now
        level = channel.line(now)
        if level != self._level:
            self._set_line(level)

    def _set_line(self, level: bool) -> None:
        self._level = level
        self.irq(level)

    def _schedule(self, now: int) -> None:
        deadline = self.channels[0].next_change_ns(now) if self.watched else None
        if deadline != self.deadline_ns:
            self.deadline_ns = deadline
            self.rescheduled()
