"""Virtual time: integer nanoseconds, one for each retired instruction unless told otherwise."""

from machine.step_hook import NEVER, HookState


class Clock:
    """Reads the instruction count; devices and engines may spend further time.

    Inside a device access the instruction that accesses has been counted already.
    """

    def __init__(self, state: HookState, ns_per_instruction: int = 1) -> None:
        self._state = state
        self.ns_per_instruction = ns_per_instruction
        self._skew_ns = 0

    @property
    def now_ns(self) -> int:
        """Nanoseconds since reset."""
        return self._state.retired * self.ns_per_instruction + self._skew_ns

    def spend(self, duration_ns: int) -> None:
        """Let time pass in which no instruction retires."""
        self._skew_ns += duration_ns

    def instructions_until(self, deadline_ns: int | None) -> int:
        """The instruction count at which `deadline_ns` is reached (NEVER for None)."""
        if deadline_ns is None:
            return NEVER
        remaining = max(0, deadline_ns - self.now_ns)
        return self._state.retired + -(-remaining // self.ns_per_instruction)
