"""The timer of the local APIC (SDM volume 3, "APIC Timer"): one-shot, periodic, and TSC-deadline.

It counts at 1 GHz before the divider: one count takes `divider` ns. As on QEMU under `-icount`, a count of n fires
(n + 1) * divider ns after the store that loaded it, and a periodic timer again every (n + 1) * divider ns. The time
stamp counter is virtual time in nanoseconds, so IA32_TSC_DEADLINE holds the time at which the timer fires.

A masked timer continues to count but has no deadline, because it raises no interrupt when it expires.
"""

from machine.processor.clock import Clock
from machine.state import Stateful

MASKED = 1 << 16
ONE_SHOT, PERIODIC, TSC_DEADLINE = 0, 1, 2


class ApicTimer(Stateful):
    """Count, mode and deadline. The local APIC has the registers and raises the interrupt."""

    STATE = (
        "deadline_ns",
        "fired_ns",
        "initial_count",
        "divide_configuration",
        "_shift",
        "_mode",
        "_masked",
        "_loaded_ns",
        "_tsc_deadline",
    )
    WIRING = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Return to one-shot mode, masked and not counting."""
        self.deadline_ns: int | None = None
        self.fired_ns: int | None = None
        """The deadline at which it last fired, in virtual ns, or None."""
        self.initial_count = 0
        self.divide_configuration = 0
        self._shift = 1
        self._mode = ONE_SHOT
        self._masked = True
        self._loaded_ns: int | None = None
        """Virtual time at which the running count began; None: not counting."""
        self._tsc_deadline = 0

    @property
    def divider(self) -> int:
        """Nanoseconds for each count."""
        return 1 << self._shift

    @property
    def current_count(self) -> int:
        """CURRENT_COUNT: the counts that remain; zero in TSC-deadline mode."""
        self._catch_up()
        if self._loaded_ns is None:
            return 0
        return max(0, self.initial_count - (self._clock.now_ns - self._loaded_ns >> self._shift))

    @property
    def tsc_deadline(self) -> int:
        """IA32_TSC_DEADLINE: the virtual time at which the timer fires, in ns; zero if it is not armed."""
        self._catch_up()
        return self._tsc_deadline

    def load(self, count: int) -> None:
        """Set INITIAL_COUNT and count down from it; zero stops the timer. Ignored in TSC-deadline mode."""
        if self._mode != TSC_DEADLINE:
            self.initial_count = count
            self._loaded_ns = self._clock.now_ns if count else None
            self._schedule()

    def write_tsc_deadline(self, value: int) -> None:
        """Set IA32_TSC_DEADLINE, in ns; zero disarms the timer. Ignored in the other modes."""
        if self._mode == TSC_DEADLINE:
            self._tsc_deadline = value
            self._schedule()

    def stall(self, duration_ns: int) -> None:
        """Let a running count stand still for some virtual ns, or move a deadline, as a fault of its clock would."""
        self._catch_up()
        if self._loaded_ns is not None:
            self._loaded_ns += duration_ns
        if self._tsc_deadline:
            self._tsc_deadline += duration_ns
        self._schedule()

    def divide_by(self, configuration: int) -> None:
        """Set DIVIDE_CONFIGURATION (bits 3, 1 and 0). A running count continues from its value."""
        self._catch_up()
        power = (configuration & 3 | configuration >> 1 & 4) + 1
        shift = power % 8
        if self._loaded_ns is not None:
            counted = self._clock.now_ns - self._loaded_ns >> self._shift
            self._loaded_ns = self._clock.now_ns - (counted << shift)
        self.divide_configuration, self._shift = configuration & 0xB, shift
        self._schedule()

    def configure(self, entry: int) -> None:
        """Set mask (bit 16) and mode (bits 18-17), for a store to LVT_TIMER.

        Neither starts or stops a count, but a change from or to TSC-deadline mode disarms the timer.

        Args:
            entry: The value of LVT_TIMER.
        """
        mode, masked = entry >> 17 & 3, bool(entry & MASKED)
        if mode == self._mode and masked == self._masked:
            return
        self._catch_up()
        if mode != self._mode and TSC_DEADLINE in (mode, self._mode):
            self._loaded_ns, self._tsc_deadline = None, 0
        self._mode, self._masked = mode, masked
        self._schedule()

    def tick(self, now_ns: int) -> bool:
        """Report whether the timer fires at a virtual time. If so, set the next deadline."""
        deadline = self.deadline_ns
        if deadline is None or now_ns < deadline:
            return False
        if self._mode == PERIODIC:
            period = self.initial_count + 1 << self._shift
            deadline += (now_ns - deadline) // period * period
            self._loaded_ns = deadline
        else:
            self._loaded_ns, self._tsc_deadline = None, 0
        self.fired_ns = deadline
        self._schedule()
        return True

    def _catch_up(self) -> None:
        """Drop counts and deadlines that expired while the timer was masked."""
        now = self._clock.now_ns
        if self._masked and self._loaded_ns is not None:
            period = self.initial_count + 1 << self._shift
            if now - self._loaded_ns >= period:
                self._loaded_ns = now - (now - self._loaded_ns) % period if self._mode == PERIODIC else None
        if self._masked and self._tsc_deadline <= now:
            self._tsc_deadline = 0

    def _schedule(self) -> None:
        if self._masked:
            self.deadline_ns = None
        elif self._mode == TSC_DEADLINE:
            self.deadline_ns = self._tsc_deadline or None
        elif self._loaded_ns is None:
            self.deadline_ns = None
        else:
            self.deadline_ns = self._loaded_ns + (self.initial_count + 1 << self._shift)
