"""The time stamp counter (SDM volume 3, 18.17): IA32_TSC, which counts virtual time from a value set by software."""

from machine.processor.clock import Clock

_MASK = (1 << 64) - 1


class TimeStampCounter:
    """IA32_TSC and IA32_TSC_AUX. It counts at 1 GHz, one for each nanosecond of virtual time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset = 0
        """The counter's value minus virtual time, in ns."""
        self.aux = 0
        """IA32_TSC_AUX, read by RDTSCP."""

    @property
    def value(self) -> int:
        """The 64-bit counter, in ns."""
        return self._clock.now_ns + self.offset & _MASK

    @value.setter
    def value(self, value: int) -> None:
        self.offset = value - self._clock.now_ns
