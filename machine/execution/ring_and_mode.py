"""The ring and the operating mode (SDM volume 3, 2.2 and 5.5), and which instructions are looked at in each.

Both may change wherever CS does. Each change is recorded, and the instruction hook told.
"""

from machine.architecture.control_registers import CR0_AM, CR4_UMIP
from machine.architecture.opcodes import ALWAYS, Action
from machine.events import ModeSwitched, ProcessorMode, RingTransition
from machine.instructions.segment_limits import Scope, SegmentLimits
from machine.interrupts.interrupt_returns import InterruptReturns
from machine.journal import Journal
from machine.processor.cpu import EFER_LMA, Cpu
from machine.state import Stateful


class RingAndMode(Stateful):
    """Follows one processor. `returns` forgets what was entered in another ring."""

    STATE = ("mode", "nmi_blocked")
    WIRING = ("_cpu", "_journal", "_returns", "_limits")

    def __init__(self, cpu: Cpu, journal: Journal, returns: InterruptReturns, limits: SegmentLimits) -> None:
        self._cpu = cpu
        self._journal = journal
        self._returns = returns
        self._limits = limits
        self.mode: ProcessorMode = "protected"
        self.nmi_blocked = False
        """From the delivery of an NMI to the next IRET (SDM volume 3, 6.7.1)."""

    def reset(self) -> None:
        """Protected mode, ring 0."""
        self.mode, self.nmi_blocked = "protected", False
        self.watch()

    def watch(self) -> None:
        """Tell the instruction hook what to stop at, after the ring, the mode, FS, GS, CR4 or NMI blocking changed."""
        registers = self._cpu.registers
        watched = ALWAYS
        if registers.cpl:
            watched |= Action.PORT
            if registers.cr[4] & CR4_UMIP:
                watched |= Action.DESCRIPTOR
            if registers.cr[0] & CR0_AM:
                watched |= Action.FLAGS  # may set AC, as IRET may
        if self._limits.scope is Scope.OVERRIDES:
            watched |= Action.OVERRIDE
        self._cpu.hook.watched = watched

    def block_nmi(self, blocked: bool) -> None:
        """An NMI is delivered, or IRET is about to be executed."""
        self.nmi_blocked = blocked
        self.watch()

    def left_ring(self, previous: int, cause: str) -> None:
        """Record that an instruction led from the ring `previous` to another; interrupts record theirs themselves."""
        registers = self._cpu.registers
        self._returns.forget()
        self.watch()
        self._journal.emit(RingTransition, previous, registers.cpl, cause, None, None, registers.rip, registers.rsp)

    def follow_mode(self, rip: int) -> None:
        """Record a change of the operating mode by the instruction at `rip`."""
        registers = self._cpu.registers
        mode: ProcessorMode = "protected"
        if registers.efer & EFER_LMA:
            mode = "long" if registers.in_64_bit_code else "compatibility"
        elif not registers.cr[0] & 1:
            mode = "real"
        if mode != self.mode:
            self._journal.emit(ModeSwitched, self.mode, mode, rip)
            self.mode = mode
            self.watch()
