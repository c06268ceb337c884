"""The local APIC (SDM volume 3, chapter 10) in xAPIC mode at 0xFEE00000, with its one-shot timer.

The timer counts at 1 GHz, one count a nanosecond before the divider. As on QEMU under `-icount`, a count of n
fires (n + 1) * divider ns after the store that armed it. Modelled: ID, version, TPR, PPR, EOI, SVR, ISR, IRR,
LVT timer (one-shot, mask), initial and current count, divide configuration. The rest reads as zero.
"""

from machine.clock import Clock
from machine.device import Device

ADDRESS = 0xFEE0_0000
ID, VERSION, TPR, PPR, EOI, SVR = 0x20, 0x30, 0x80, 0xA0, 0xB0, 0xF0
ISR, IRR = 0x100, 0x200
LVT_TIMER, LVT_LINT0, LVT_LINT1 = 0x320, 0x350, 0x360
INITIAL_COUNT, CURRENT_COUNT, DIVIDE_CONFIGURATION = 0x380, 0x390, 0x3E0
_MASKED = 1 << 16
_ENABLED = 1 << 8
_VERSION_VALUE = 0x0005_0014  # integrated APIC, six LVT entries


def _bit_array(vectors: int, offset: int) -> int:
    return vectors >> (offset >> 4) * 32 & 0xFFFF_FFFF


class LocalApic(Device):
    """Collects interrupt requests and says which one the processor takes next."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._stored: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Power-on state: software disabled, every LVT entry masked."""
        self._stored = {SVR: 0xFF, LVT_TIMER: _MASKED, LVT_LINT0: _MASKED, LVT_LINT1: _MASKED}
        self._requested = 0
        self._in_service = 0
        self._deadline: int | None = None
        self.fired_ns: int | None = None
        """The deadline the timer last fired for, or None."""
        self.acknowledged_ns = 0
        """When the processor last took an interrupt; less `fired_ns` it is a wake-up's latency."""

    @property
    def deadline_ns(self) -> int | None:
        """When the timer fires."""
        return self._deadline

    @property
    def divider(self) -> int:
        """What the timer's clock is divided by (SDM volume 3, figure 10-10)."""
        encoded = self._stored.get(DIVIDE_CONFIGURATION, 0)
        power = (encoded & 3 | encoded >> 1 & 4) + 1
        return 1 << power % 8

    def request(self, vector: int) -> None:
        """Set the request bit of a vector, as a device's interrupt message does (16 to 255)."""
        self._requested |= 1 << vector
        self.rescheduled()

    def pending(self) -> int | None:
        """The vector to be delivered next, if its priority class is above the processor's."""
        if not self._requested or not self._stored[SVR] & _ENABLED:
            return None
        vector = self._requested.bit_length() - 1
        return vector if vector >> 4 > self._processor_priority() >> 4 else None

    def acknowledge(self, vector: int) -> None:
        """The processor takes the vector: it moves from requested to in service."""
        self._requested &= ~(1 << vector)
        self._in_service |= 1 << vector
        self.acknowledged_ns = self._clock.now_ns

    def tick(self, now_ns: int) -> None:
        """The count has reached zero."""
        if self._deadline is None or now_ns < self._deadline:
            return
        self.fired_ns, self._deadline = self._deadline, None
        entry = self._stored[LVT_TIMER]
        if not entry & _MASKED:
            self.request(entry & 0xFF)

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Value of a 32-bit register."""
        if ISR <= offset < ISR + 0x80:
            return _bit_array(self._in_service, offset - ISR)
        if IRR <= offset < IRR + 0x80:
            return _bit_array(self._requested, offset - IRR)
        if offset == CURRENT_COUNT:
            if self._deadline is None:
                return 0
            return max(0, self._deadline - self._clock.now_ns) // self.divider
        if offset == PPR:
            return self._processor_priority()
        return _VERSION_VALUE if offset == VERSION else self._stored.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Set a 32-bit register; EOI ends the highest interrupt in service, INITIAL_COUNT arms the timer."""
        if offset == EOI:
            if self._in_service:
                self._in_service &= ~(1 << self._in_service.bit_length() - 1)
        elif offset == INITIAL_COUNT:
            self._stored[offset] = value
            self._deadline = self._clock.now_ns + (value + 1) * self.divider if value else None
        elif offset in (ID, TPR, SVR, LVT_TIMER, LVT_LINT0, LVT_LINT1, DIVIDE_CONFIGURATION):
            self._stored[offset] = value
        self.rescheduled()

    def _processor_priority(self) -> int:
        task = self._stored.get(TPR, 0) & 0xFF
        service = self._in_service.bit_length() - 1 if self._in_service else 0
        return task if task >> 4 >= service >> 4 else service & 0xF0
