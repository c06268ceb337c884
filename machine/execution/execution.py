"""What the processor does up to its next stop, and what is done there: interrupts, exceptions, instructions.

Unicorn executes; at each stop `stopped` finds out what it met. The machine (machine/machine.py) decides how far to go.
"""

from enum import Enum

from machine.architecture.control_registers import CR0_BITS
from machine.architecture.decoding import REPEAT, REPEAT_NOT_EQUAL, Instruction
from machine.architecture.exceptions import DB, NMI, UD, Fault
from machine.architecture.opcodes import Action
from machine.devices.chipset import Chipset
from machine.events import Halted
from machine.execution.alignment_check import AlignmentCheck
from machine.execution.coprocessor import INSTRUCTION_LENGTH, Coprocessor
from machine.execution.observed_registers import ObservedRegisters
from machine.execution.ring_and_mode import RingAndMode
from machine.instructions.disposition import Done
from machine.instructions.floating_point.unit import FloatingPointUnit
from machine.instructions.memory import OperandMemory
from machine.instructions.quiet import is_quiet
from machine.instructions.segment_limits import Scope, SegmentLimits
from machine.instructions.segmentation.task_switch import TaskFault
from machine.instructions.system.msrs import Msrs
from machine.instructions.system_instructions import SystemInstructions
from machine.interrupts.delivery import Delivery, Interrupt
from machine.interrupts.interrupt_returns import InterruptReturns
from machine.interrupts.unicorn_faults import exception_met, take_back
from machine.journal import Journal
from machine.processor.cpu import FLAG_IF, FLAG_RF, FLAG_TF, Cpu
from machine.processor.debug_registers import DR6_BS
from machine.processor.step_hook import NEVER, STRINGS, Stop
from machine.state import Stateful

_REPEATS = frozenset([REPEAT, REPEAT_NOT_EQUAL])
_REFUSED_FIRST = int(Action.UNDEFINED | Action.PORT | Action.DESCRIPTOR)
_OVERRIDE = int(Action.OVERRIDE)
_INTERRUPT_RETURN = int(Action.INTERRUPT_RETURN)
_LEFT_BY = {
    **dict.fromkeys((0x0F05, 0x0F07, 0x0F34, 0x0F35), "fast_system_call"),
    **dict.fromkeys((0xCA, 0xCB), "far_return"),
    **dict.fromkeys((0x9A, 0xFF), "call_gate"),
    0xCF: "interrupt_return",
}
"""What leads out of a ring, by opcode, but for task switches."""
_MOV_TO_CR = 0x0F22
_PRIVILEGED = frozenset([0x0F01, *range(0x0F05, 0x0F0A), *range(0x0F20, 0x0F24), *range(0x0F30, 0x0F36)])


def _privileged(instruction: Instruction) -> bool:
    """Tell instructions that ring 3 may not execute, whatever their operands are (SDM volume 3, 5.9)."""
    return instruction.opcode in _PRIVILEGED or (instruction.opcode == 0x0F00 and instruction.extension in (2, 3))


class Reached(Enum):
    """Where the processor stands when control comes back from it."""

    ANYWHERE = "anywhere"
    ADDRESS = "address"
    """Before an address that the instruction hook stops at."""


class Execution(Stateful):
    """One processor at work: what it does up to its next stop, and what is done there."""

    STATE = ("halted", "cut_short")
    PARTS = ("delivery", "ring_and_mode", "_returns")
    WIRING = (
        *("_cpu", "_chipset", "_journal", "coprocessor", "_observed", "_alignment", "_limits", "_x87", "_system"),
        "_reached",
    )

    def __init__(self, cpu: Cpu, chipset: Chipset, journal: Journal, msrs: Msrs) -> None:
        self._cpu = cpu
        self._chipset = chipset
        self._journal = journal
        self._reached = Reached.ANYWHERE
        self.delivery = Delivery(cpu, journal)
        self.coprocessor: Coprocessor | None = None
        self.halted = False
        self.cut_short = False
        """Time has passed in a sleep or in the coprocessor; whether that was all of it, the next deadline says."""
        self._returns = InterruptReturns(cpu, journal)
        self._limits = SegmentLimits(cpu)
        self.ring_and_mode = RingAndMode(cpu, journal, self._returns, self._limits)
        self._observed = ObservedRegisters(cpu, journal)
        self._alignment = AlignmentCheck(cpu)
        self._x87 = FloatingPointUnit(cpu, OperandMemory(cpu))
        self._system = SystemInstructions(cpu, msrs, chipset.local_apic, self._x87, self._limits)

    def take_reached(self) -> Reached:
        """Return where the processor stands, once: the next answer is ANYWHERE, unless it has moved on."""
        reached, self._reached = self._reached, Reached.ANYWHERE
        return reached

    def sleep(self, duration_ns: int) -> None:
        """Let time pass in HLT."""
        self._cpu.clock.spend(duration_ns)
        self.cut_short = True

    def reset(self) -> None:
        """Follow the processor to where a loader has put it."""
        self._cpu.debug.reset()
        self.halted, self._reached = False, Reached.ANYWHERE
        self.ring_and_mode.reset()

    # Interrupts

    def take_interrupt(self, *, pending: bool) -> bool:
        """Take an interrupt that is there, or the instruction that holds it back; whether either was done."""
        chipset, registers = self._chipset, self._cpu.registers
        nmi = chipset.nmi_pending and not self.ring_and_mode.nmi_blocked
        if registers.interrupts_inhibited and (nmi or pending) and not self.halted:
            self.step()
        elif nmi:
            chipset.take_nmi()
            self.ring_and_mode.block_nmi(True)
            self._deliver(Interrupt(NMI, "nmi", registers.rip, repeating=self._repeating()))
        elif pending and self._cpu.hook.rflags & FLAG_IF:
            repeating = self._repeating()
            self._deliver(Interrupt(chipset.acknowledge(), "external", registers.rip, repeating=repeating))
        else:
            return False
        return True

    def _deliver(self, interrupt: Interrupt) -> None:
        self.halted = self.cut_short = False
        self._cpu.hook.pass_once = NEVER
        registers, in_long_mode = self._cpu.registers, self.ring_and_mode.mode == "long"
        ring, rsp, base = registers.cpl, registers.rsp, self._cpu.linear_rip - registers.rip
        self._returns.look()  # an interrupt can come right behind the return from another
        before = None if in_long_mode else self._observed.look()
        self.delivery.deliver(interrupt)
        if before is not None:  # a task gate loads TR, CR3 and segment registers
            self._observed.record_changes(before, interrupt.return_address)
            self.ring_and_mode.watch()
        if ring == registers.cpl:
            linear = base + interrupt.return_address & 2**64 - 1
            self._returns.entered(interrupt.vector, interrupt.return_address, linear, rsp)
        else:
            self.ring_and_mode.watch()
        if not in_long_mode:
            self.ring_and_mode.follow_mode(registers.rip)
        if self._cpu.debug.held and not self.delivery.shut_down:  # this was the instruction after MOV SS
            self._trap(0)

    def _raise(self, fault: Fault) -> None:
        """Deliver an exception of the instruction at RIP, which did not retire."""
        self._cpu.debug.met = 0
        interrupt = Interrupt(fault.vector, "exception", self._cpu.rip, fault.error_code, fault.address)
        self._deliver(interrupt)

    def _trap(self, causes: int) -> None:
        """Deliver #DB behind the instruction that retired last, for these bits of DR6."""
        debug = self._cpu.debug
        debug.dr6 = debug.dr6 & ~0xF | debug.take() | causes
        self._deliver(Interrupt(DB, "exception", self._cpu.rip, is_trap=True, repeating=self._repeating()))

    def _repeating(self) -> bool:
        """Tell whether the instruction at RIP is a repeated string instruction between two iterations."""
        cpu = self._cpu
        if cpu.hook.last != cpu.linear_rip:
            return False
        instruction = cpu.instruction_at(cpu.linear_rip)
        return instruction is not None and instruction.opcode in STRINGS and bool(_REPEATS & set(instruction.prefixes))

    # One instruction

    def step(self) -> None:
        """Go one instruction further, with everything that is looked at on the way."""
        self._cpu.hook.watch_if = 0
        self._cpu.clock.step()
        self.stopped(self._cpu.execute())

    @property
    def checks_wanted(self) -> bool:
        """Whether any instruction may meet #AC or a segment limit, so that `step_checked` must be used for each.

        Or MOV SS has met a data breakpoint, which is reported after the next instruction.
        """
        return bool(self._cpu.debug.held) or self._alignment.wanted or self._limits.scope is Scope.EVERYTHING

    def step_checked(self) -> None:
        """Execute one instruction, if #AC lets it. Breakpoints and rules of its own come before that."""
        cpu = self._cpu
        at = cpu.linear_rip
        instruction = cpu.instruction_at(at)
        found = 0 if instruction is None else instruction.action
        if not cpu.debug.at(at) and not found & _REFUSED_FIRST:
            try:
                if self._limits.scope is Scope.EVERYTHING:
                    self._limits.check(instruction)
                if self._alignment.wanted and (instruction is None or not _privileged(instruction)):
                    self._alignment.check(instruction)
            except Fault as fault:
                self._raise(fault)
                return
        self.step()

    def _execute_one(self) -> Stop:
        """Execute the instruction at RIP whatever it is, and nothing more. The stop is still to be looked at."""
        hook = self._cpu.hook
        hook.pass_once = hook.pass_watched = self._cpu.linear_rip
        hook.watch_if = 0
        self._cpu.clock.step()
        stop = self._cpu.execute()
        hook.pass_once = hook.pass_watched = NEVER
        return stop

    @property
    def at_coprocessor(self) -> bool:
        """Whether the next instruction is the coprocessor's."""
        coprocessor, registers = self.coprocessor, self._cpu.registers
        return coprocessor is not None and coprocessor.address == registers.rip and registers.cpl == 3

    def run_coprocessor(self, budget_ns: int) -> None:
        """Let the coprocessor execute its instruction, for about `budget_ns` at most."""
        assert self.coprocessor is not None
        registers = self._cpu.registers
        result = self.coprocessor.execute(registers.rax, budget_ns)
        self._cpu.ram.lent_changed()
        self.cut_short = result is None
        if result is not None:
            self._cpu.skip(INSTRUCTION_LENGTH)
            registers.rax, registers.rcx, registers.rdi = result.rax, result.rcx, result.rdi

    # Stops

    def run(self) -> None:
        """Let the processor execute up to its next stop that is not quiet, and do what that is there for.

        After a quiet instruction only its operands are others: nobody need look at interrupts, deadlines or the mode,
        and what a device has asked for on the way stops the processor again.
        """
        cpu, hook = self._cpu, self._cpu.hook
        while True:
            stop = cpu.execute()
            if stop is not Stop.WATCHED_INSTRUCTION or hook.rflags & FLAG_TF or cpu.debug.met:
                break
            instruction = cpu.watched_instruction()
            if instruction is None or not (is_quiet(instruction) or instruction.action & hook.watched == _OVERRIDE):
                break
            self.cut_short = False
            hook.rflags &= ~FLAG_RF
            before = self._observed.look() if instruction.opcode == _MOV_TO_CR else None
            rip = cpu.registers.rip
            try:
                done = self._system.execute(instruction)
            except Fault as fault:
                self._raise(fault)
                return
            if done is Done.NATIVE:
                hook.pass_watched = cpu.linear_rip
            if before is not None and before != self._observed.look():
                self._observed.record_changes(before, rip)
            if cpu.debug.met:
                break
        self.stopped(stop)

    def stopped(self, stop: Stop) -> None:
        """Do what a stop is there for."""
        cpu, hook = self._cpu, self._cpu.hook
        self.cut_short = False
        if stop is Stop.INTERRUPT or stop is Stop.INVALID_INSTRUCTION:
            self._exception_met(stop)
        elif stop is Stop.LEFT:
            take_back(cpu)
        elif stop is Stop.NO_CODE:  # the bus floats, or a device is there: ones, which are no instruction
            self._raise(Fault(UD))
        elif cpu.debug.met or (cpu.debug.held and not cpu.registers.interrupts_inhibited):
            self._trap(0)
        elif stop is Stop.WATCHED_INSTRUCTION:
            self._execute_watched()
        elif stop is Stop.DEBUG:
            self._instruction_breakpoint()
        elif stop is Stop.ADDRESS:
            self._reached = Reached.ADDRESS
        elif stop is Stop.BREAKPOINT:
            if not self._returns.look():
                self._pass_return()
        elif stop is Stop.HALT:
            if hook.rflags & FLAG_TF:
                self._trap(DR6_BS)
                return
            self.halted = True
            self._journal.emit(Halted, bool(cpu.rflags & FLAG_IF))

    def _exception_met(self, stop: Stop) -> None:
        """Unicorn met an exception or an INT instruction."""
        cpu = self._cpu
        software, error_code, following = cpu.context.interrupt_met
        vector = UD if stop is Stop.INVALID_INSTRUCTION else cpu.hook.vector
        if software:
            if not cpu.registers.in_64_bit_code:
                following &= 0xFFFF_FFFF  # Unicorn does not wrap it
            cpu.registers.rip = following
            self._deliver(Interrupt(vector, "software", following))
        elif vector == UD:
            take_back(cpu)
            if not self.at_coprocessor:
                self._raise(Fault(UD))
        elif vector == DB:  # the only one that Unicorn raises, as it never sees the debug registers
            self._trap(DR6_BS)
        else:
            self._raise(exception_met(cpu, vector, error_code))

    def _pass_return(self) -> None:
        """Execute the instruction that an interrupt will return to, reached by another way: it is like any other."""
        self._cpu.hook.breakpoint = NEVER
        self.step()
        self._returns.watch()

    def _instruction_breakpoint(self) -> None:
        """A debug register names the instruction at RIP: a fault in front of it, unless RF says otherwise."""
        cpu = self._cpu
        if cpu.rflags & FLAG_RF:
            cpu.hook.pass_once = cpu.linear_rip
            return
        cpu.debug.dr6 = cpu.debug.dr6 & ~0xF | cpu.debug.at(cpu.linear_rip)
        self._deliver(Interrupt(DB, "exception", cpu.rip))

    def _execute_watched(self) -> None:
        """Execute an instruction that Unicorn must not execute unwatched, and record what it changed."""
        cpu, registers, ring_and_mode = self._cpu, self._cpu.registers, self.ring_and_mode
        instruction = cpu.watched_instruction()
        if instruction is None:  # it ends in a page that cannot be fetched, which Unicorn will find
            self.stopped(self._execute_one())
            return
        cpu.hook.rflags &= ~FLAG_RF  # it lasts for one instruction after IRET
        rip, ring, stepping = registers.rip, registers.cpl, cpu.hook.rflags & FLAG_TF
        task = registers.tr.selector
        returns = instruction.action & _INTERRUPT_RETURN
        if returns and ring_and_mode.nmi_blocked:
            ring_and_mode.nmi_blocked = False
        before = self._observed.look()
        in_new_task: Fault | None = None
        try:
            done = self._system.execute(instruction)
        except TaskFault as fault:  # of the new task, before its first instruction
            done, in_new_task = Done.COMPLETE, fault
        except Fault as fault:
            self._raise(fault)
            return
        stop = self._execute_one() if done is Done.NATIVE else None
        if self._observed.look() != before:
            registers.cr[0] &= CR0_BITS
            self._observed.record_changes(before, rip)
            ring_and_mode.watch()
            cpu.flush_translations()
        if registers.cpl != ring:
            cause = _LEFT_BY[instruction.opcode] if registers.tr.selector == task else "task_switch"
            ring_and_mode.left_ring(ring, cause)
        ring_and_mode.follow_mode(rip)
        if returns:
            self._returns.look()
        if not instruction.long:
            ring_and_mode.watch()  # it may have loaded FS or GS
        if stop is not None:
            self.stopped(stop)
        elif in_new_task is not None:
            self._raise(in_new_task)
        elif registers.interrupts_inhibited:  # by MOV SS, which also holds back #DB
            cpu.debug.hold()
        else:
            self._trap_after(done, stepping)

    def _trap_after(self, done: Done, stepping: int) -> None:
        """Deliver #DB after an instruction that was executed here, if there is a reason for it."""
        if done is Done.TRAP:
            self._trap(0)
            return
        if done is Done.TRANSFERRED:
            stepping = self._cpu.hook.rflags & FLAG_TF
        if stepping or self._cpu.debug.met or self._cpu.debug.held:
            self._trap(DR6_BS if stepping else 0)
