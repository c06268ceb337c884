"""A PIT at a settable time whose interrupts are recorded."""

from fractions import Fraction
from math import ceil

from hypothesis import strategies as st

from machine.devices.legacy.pit8254 import Pit8254
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

CONTROL, PORT_B = 3, 4
CLOCK_NS = Fraction(10**9, 1_193_182)
counts = st.integers(2, 0xFFFF)


def after(clocks: int) -> int:
    """The first nanosecond by which this many clocks have passed."""
    return ceil(clocks * CLOCK_NS)


class Pit(Pit8254):
    """A watched PIT at a settable time; `edges` are the times at which IRQ 0 rose."""

    def __init__(self) -> None:
        self.state = HookState(deadline=NEVER)
        self.edges: list[int] = []
        self.level = False
        super().__init__(Clock(self.state))
        self.irq = self._line
        self.watch(True)

    def _line(self, level: bool) -> None:
        if level and not self.level:
            self.edges.append(self.state.retired)
        self.level = level

    def at(self, now: int) -> "Pit":
        self.state.retired = now
        return self

    def control(self, word: int) -> None:
        self.write(CONTROL, 1, word)

    def program(self, channel: int, mode: int, count: int, *, bcd: int = 0) -> None:
        self.control(channel << 6 | 0x30 | mode << 1 | bcd)
        self.write(channel, 1, count & 0xFF)
        self.write(channel, 1, count >> 8)

    def run(self, until: int) -> None:
        """Advance time, with a tick at each deadline."""
        while self.deadline_ns is not None and self.deadline_ns <= until:
            self.at(self.deadline_ns).tick(self.deadline_ns)
        self.at(until)

    def count(self, channel: int) -> int:
        self.control(channel << 6)
        return self.read(channel, 1) | self.read(channel, 1) << 8

    def out(self, channel: int) -> bool:
        """OUT by the read-back command."""
        self.control(0xE0 | 2 << channel)
        return bool(self.read(channel, 1) & 0x80)
