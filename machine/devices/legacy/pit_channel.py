"""One channel of the 8254 (Intel 8254 data sheet, "Mode Definitions"): its count and OUT at a given time.

Nothing counts down: count and OUT are computed from the number of clocks since the count began. `d` is that number, `n`
the loaded count (0 means 65536, in BCD 10000).
"""

from machine.state import Stateful

FREQUENCY_HZ = 1_193_182
_SECOND_NS = 1_000_000_000
LOW, HIGH, LOW_THEN_HIGH = 1, 2, 3
_PERIODIC = (2, 3)
_TRIGGERED = (1, 5)


class PitChannel(Stateful):
    """Count, mode, gate and latches. Times are virtual ns."""

    STATE = (
        "_access",
        "_mode",
        "_bcd",
        "_mode_bits",
        "_count",
        "_loaded",
        "_started_ns",
        "_paused_clocks",
        "gate",
        "_line",
        "_write_low",
        "_read_high",
        "_latched",
        "_status",
    )

    def __init__(self) -> None:
        self._access, self._mode, self._bcd = LOW_THEN_HIGH, 0, False
        self._mode_bits = 0
        """The mode as written: 6 and 7 are modes 2 and 3."""
        self._count = 0x10000
        self._loaded = False
        """True if a count was written after the control word."""
        self._started_ns: int | None = None
        """Virtual time of clock 0; None if not counting, because there is no count or trigger, or the gate is low."""
        self._paused_clocks = 0
        self.gate = True
        self._line = False
        self._write_low: int | None = None
        self._read_high = False
        self._latched: list[int] = []
        self._status: int | None = None

    # Programming

    def program(self, access: int, mode: int, *, bcd: bool) -> None:
        """Execute a control word: the channel stops until it gets a count."""
        self._access, self._mode, self._bcd = access, mode & 3 if mode > 5 else mode, bcd
        self._mode_bits = mode
        self._loaded, self._started_ns, self._paused_clocks = False, None, 0
        self._write_low, self._read_high, self._latched, self._status = None, False, [], None

    def write(self, now: int, value: int) -> bool:
        """Write a byte of the count. Return True if the count is now complete and loaded."""
        if self._access == LOW_THEN_HIGH and self._write_low is None:
            self._write_low = value
            if self._mode == 0:  # the first byte stops the count
                self._loaded, self._started_ns = False, None
            return False
        if self._access == LOW_THEN_HIGH:
            value = value << 8 | (self._write_low or 0)
        elif self._access == HIGH:
            value <<= 8
        self._write_low = None
        self.load(now, value)
        return True

    def load(self, now: int, value: int) -> None:
        """Load a count of 16 bits. Modes 1 and 5 wait for the gate to rise."""
        self._count = (_from_bcd(value) or 10_000) if self._bcd else value or 0x10000
        self._loaded, self._paused_clocks = True, 0
        if self._mode not in _TRIGGERED:
            self._started_ns = now if self.gate else None

    def set_gate(self, now: int, level: bool) -> None:
        """Set the gate. A rising gate triggers modes 1 and 5 and restarts 2 and 3; the others pause while it is low."""
        if level == self.gate:
            return
        self.gate = level
        if self._mode in _TRIGGERED:
            if level and self._loaded:
                self._started_ns = now
        elif not level:
            self._paused_clocks = 0 if self._mode in _PERIODIC else self.elapsed(now)
            self._started_ns = None
        elif self._loaded:
            self._started_ns = now - _clocks_ns(self._paused_clocks)

    # Reading

    def read(self, now: int) -> int:
        """Return the next byte of a latched status, a latched count, or the running count."""
        if self._status is not None:
            status, self._status = self._status, None
            return status
        if self._latched:
            return self._latched.pop(0)
        count = self.value(now)
        if self._access != LOW_THEN_HIGH:
            return count >> 8 if self._access == HIGH else count & 0xFF
        self._read_high = not self._read_high
        return count & 0xFF if self._read_high else count >> 8

    def latch(self, now: int) -> None:
        """Latch the count until it is read; latching again before that changes nothing."""
        if not self._latched:
            count = self.value(now)
            self._latched = {LOW: [count & 0xFF], HIGH: [count >> 8]}.get(self._access, [count & 0xFF, count >> 8])

    def read_back(self, now: int, *, count: bool, status: bool) -> None:
        """Execute the read-back command: latch count, status, or both."""
        if count:
            self.latch(now)
        if status and self._status is None:
            null = not self._loaded
            self._status = self.out(now) << 7 | null << 6 | self._access << 4 | self._mode_bits << 1 | self._bcd

    # Values at a given time

    def elapsed(self, now: int) -> int:
        """Return the clocks since the count began."""
        if self._started_ns is None:
            return self._paused_clocks
        return (now - self._started_ns) * FREQUENCY_HZ // _SECOND_NS

    def value(self, now: int) -> int:
        """Return the 16 bits of the counting element as read by software."""
        n, d = self._count, self.elapsed(now)
        if self._mode == 2:
            count = n - d % n
        elif self._mode == 3:
            phase = d % n
            high = n + 1 >> 1
            count = (n & ~1) - 2 * (phase if phase < high else phase - high)
        else:
            count = n - d
        return _to_bcd(count % 10_000) if self._bcd else count & 0xFFFF

    def out(self, now: int) -> bool:
        """Return the OUT pin. After a control word it is high, in mode 0 low."""
        n, d = self._count, self.elapsed(now)
        running = self._loaded and (self._started_ns is not None or self._paused_clocks > 0)
        if self._mode == 0:
            return running and d >= n
        if not running:
            return True
        if self._mode == 1:
            return d >= n
        if self._mode == 2:
            return d % n != n - 1
        if self._mode == 3:
            return d % n < n + 1 >> 1
        return d != n

    # The interrupt line of channel 0

    def line(self, now: int) -> bool:
        """Return the interrupt line; see pit8254.py. It does not change while the channel is not counting."""
        if self._loaded and self._started_ns is not None:
            n, d = self._count, self.elapsed(now)
            if self._mode == 2:
                d = self._reload_clocks(now)
                self._line = d > n and d % n != 0
            elif self._mode == 4:
                self._line = d == n
            else:
                self._line = self.out(now)
        return self._line

    def rose(self, since: int, now: int) -> bool:
        """Report whether the line rose after `since`, ignoring the immediate change at a new count."""
        if not self._loaded or self._started_ns is None:
            return False
        n = self._count
        if self._mode == 2:
            return max(0, self._reload_clocks(now) - 1) // n > max(0, self._reload_clocks(since) - 1) // n
        before, d = self.elapsed(since), self.elapsed(now)
        return d // n > before // n if self._mode == 3 else before < n <= d

    def next_change_ns(self, now: int) -> int | None:
        """Return the next time after `now` at which the interrupt line may change, or None."""
        if not self._loaded or self._started_ns is None:
            return None
        n, d = self._count, self.elapsed(now)
        if self._mode == 2:
            d = self._reload_clocks(now)
            following = d + 1 if d > 0 == d % n else d - d % n + n
            return self._started_ns + following * _SECOND_NS // FREQUENCY_HZ
        if self._mode == 3:
            start, high = d - d % n, n + 1 >> 1
            following = start + (high if d - start < high else n)
        elif d < n:
            following = n
        elif d == n and self._mode == 4:
            following = n + 1
        else:
            return None
        return self._started_ns + _clocks_ns(following)

    def _reload_clocks(self, now: int) -> int:
        """Return the clocks since the count began, each rounded down to its nanosecond, as in mode 2."""
        return -(-(now - (self._started_ns or 0) + 1) * FREQUENCY_HZ // _SECOND_NS) - 1


def _clocks_ns(clocks: int) -> int:
    """Return the duration of a number of clocks in ns."""
    return -(-clocks * _SECOND_NS // FREQUENCY_HZ)


def _from_bcd(value: int) -> int:
    return sum((value >> 4 * digit & 0xF) * 10**digit for digit in range(4))


def _to_bcd(value: int) -> int:
    return sum(value // 10**digit % 10 << 4 * digit for digit in range(4))
