"""The ring and the operating mode (SDM volume 3, 2.2 and 5.5), and the instructions watched in each.

Both may change with CS. Each change is recorded, and updates the instruction hook's set of watched actions.
"""

from machine.architecture.control_registers import CR0_AM, CR4_UMIP
from machine.architecture.opcodes import ALWAYS, Action
from machine.architecture.processor_state import HFLAG_CODE_64
from machine.events import ModeSwitched, ProcessorMode, RingTransition
from machine.instructions.segment_limits import Scope, SegmentLimits
from machine.interrupts.interrupt_returns import InterruptReturns
from machine.journal import Journal
from machine.processor.cpu import EFER_LMA, Cpu
from machine.state import Stateful

_ALWAYS, _PORT, _DESCRIPTOR = int(ALWAYS), int(Action.PORT), int(Action.DESCRIPTOR)
_FLAGS, _OVERRIDE = int(Action.FLAGS), int(Action.OVERRIDE)


class RingAndMode(Stateful):
    """The ring and mode of one processor.

    Args:
        cpu: The processor.
        journal: Receives the events.
        returns: Cleared when the ring changes.
        limits: The segment limits, which decide whether segment overrides are watched.
    """

    STATE = ("mode", "nmi_blocked")
    WIRING = ("_cpu", "_journal", "_returns", "_limits", "watches_flags")

    def __init__(self, cpu: Cpu, journal: Journal, returns: InterruptReturns, limits: SegmentLimits) -> None:
        self._cpu = cpu
        self._journal = journal
        self._returns = returns
        self._limits = limits
        self.mode: ProcessorMode = "protected"
        self.nmi_blocked = False
        """True from the delivery of an NMI until the next IRET (SDM volume 3, 6.7.1)."""
        self.watches_flags = False
        """True if instructions that change RFLAGS.IF are watched in every ring."""

    def reset(self) -> None:
        """Set the state after reset: protected mode, ring 0."""
        self.mode, self.nmi_blocked = "protected", False
        self.watch()

    def watch(self) -> None:
        """Set the hook's watched actions, after the ring, the mode, FS, GS, CR0 or CR4 has changed."""
        registers = self._cpu.registers
        watched = _ALWAYS
        if registers.cpl:
            watched |= _PORT
            if registers.cr[4] & CR4_UMIP:
                watched |= _DESCRIPTOR
            if registers.cr[0] & CR0_AM:
                watched |= _FLAGS  # may set AC, like IRET
        if self._limits.scope is Scope.OVERRIDES:
            watched |= _OVERRIDE
        if self.watches_flags:
            watched |= _FLAGS
        self._cpu.hook.watched = watched

    def block_nmi(self, blocked: bool) -> None:
        """Set whether NMIs are blocked."""
        self.nmi_blocked = blocked
        self.watch()

    def left_ring(self, previous: int, cause: str) -> None:
        """Record a ring transition by an instruction; `Delivery` records those by interrupts.

        Args:
            previous: The ring before the instruction.
            cause: The cause given in the event.
        """
        self.watch()
        self.record_left(previous, cause)

    def record_left(self, previous: int, cause: str) -> None:
        """Do what `left_ring` does, if the watched actions have been set."""
        registers = self._cpu.registers
        self._returns.forget()
        ring = registers.hflags & 3
        self._journal.emit(RingTransition, previous, ring, cause, None, None, registers.rip, registers.rsp)

    def follow_mode(self, rip: int) -> None:
        """Record a change of the operating mode, if the instruction at `rip` made one."""
        registers = self._cpu.registers
        if self.mode == "long" and registers.hflags & HFLAG_CODE_64:
            return
        mode: ProcessorMode = "protected"
        if registers.efer & EFER_LMA:
            mode = "long" if registers.in_64_bit_code else "compatibility"
        elif not registers.cr[0] & 1:
            mode = "real"
        if mode != self.mode:
            self._journal.emit(ModeSwitched, self.mode, mode, rip)
            self.mode = mode
            self.watch()
