"""Virtual time: integer nanoseconds, one for each retired instruction unless told otherwise."""

from machine.processor.step_hook import NEVER, HookState
from machine.state import Stateful


class Clock(Stateful):
    """Reads the instruction count; devices and engines may spend further time.

    Inside a device access the instruction that accesses has been counted already.
    """

    STATE = ("_skew_ns",)
    WIRING = ("_state", "ns_per_instruction", "_deadline_ns", "stepping")
    # The processor counts instructions; a deadline is armed again for each run.

    def __init__(self, state: HookState, ns_per_instruction: int = 1) -> None:
        self._state = state
        self.ns_per_instruction = ns_per_instruction
        self._skew_ns = 0
        self._deadline_ns: int | None = None
        self.stepping = False
        """The processor executes one instruction only: see `step`."""

    @property
    def now_ns(self) -> int:
        """Nanoseconds since reset."""
        return self._state.retired * self.ns_per_instruction + self._skew_ns

    def spend(self, duration_ns: int) -> None:
        """Let time pass in which no instruction retires."""
        self._skew_ns += duration_ns
        if self._state.deadline and not self.stepping:
            self.arm(self._deadline_ns)

    def arm(self, deadline_ns: int | None) -> None:
        """Stop the processor in front of the first instruction at or after `deadline_ns`; None: do not stop it."""
        self._deadline_ns, self.stepping = deadline_ns, False
        if deadline_ns is None:
            self._state.deadline = NEVER
        else:
            count = -(-(deadline_ns - self._skew_ns) // self.ns_per_instruction)
            self._state.deadline = max(count, self._state.retired)

    def step(self) -> None:
        """Stop the processor behind its next instruction."""
        self.stepping = True
        self._state.deadline = self._state.retired + 1

    def stop(self) -> None:
        """Stop the processor in front of the next instruction."""
        self._state.deadline = 0
