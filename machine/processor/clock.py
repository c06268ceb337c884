"""Virtual time: integer nanoseconds, one for each retired instruction unless configured otherwise."""

from machine.processor.step_hook import NEVER, HookState
from machine.state import Stateful


class Clock(Stateful):
    """Virtual time, derived from the instruction count; devices and engines may spend further time.

    During a device access, the accessing instruction has already been counted.
    """

    STATE = ("_skew_ns", "_counted_ns", "_timeless")
    WIRING = ("_state", "ns_per_instruction", "_deadline_ns", "stepping")
    # The processor counts instructions; a deadline is re-armed for each run.

    def __init__(self, state: HookState, ns_per_instruction: int = 1) -> None:
        self._state = state
        self.ns_per_instruction = ns_per_instruction
        self._skew_ns = 0
        self._deadline_ns: int | None = None
        self.stepping = False
        """True while the processor executes a single instruction: see `step`."""
        self._counted_ns, self._timeless = 0, 0

    @property
    def now_ns(self) -> int:
        """Nanoseconds since reset."""
        return self._state.retired * self.ns_per_instruction + self._skew_ns

    @property
    def timeless_steps(self) -> int:
        """The number of steps since this time was reached: some take no time, such as taking an interrupt."""
        return self._timeless if self._counted_ns == self.now_ns else 0

    @timeless_steps.setter
    def timeless_steps(self, count: int) -> None:
        self._counted_ns, self._timeless = self.now_ns, count

    def spend(self, duration_ns: int) -> None:
        """Spend `duration_ns` without retiring an instruction."""
        self._skew_ns += duration_ns
        if self._state.deadline and not self.stepping:
            self.arm(self._deadline_ns)

    def arm(self, deadline_ns: int | None) -> None:
        """Stop the processor before the first instruction at or after `deadline_ns`; None: do not stop it."""
        self._deadline_ns, self.stepping = deadline_ns, False
        if deadline_ns is None:
            self._state.deadline = NEVER
        else:
            count = -(-(deadline_ns - self._skew_ns) // self.ns_per_instruction)
            self._state.deadline = max(count, self._state.retired)

    def step(self) -> None:
        """Stop the processor after its next instruction."""
        self.stepping = True
        self._state.deadline = self._state.retired + 1

    def stop(self) -> None:
        """Stop the processor before its next instruction."""
        self._state.deadline = 0
