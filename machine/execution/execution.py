"""Execution up to the next stop of the processor, and the work at that stop: interrupts, exceptions, instructions.

Unicorn executes; after each stop `stopped` handles its reason. The run loop (machine/execution/run_loop.py) calls this
and decides how far to execute.
"""

from enum import Enum
from typing import TYPE_CHECKING

from machine.architecture.control_registers import CR0_BITS, CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import NMI, UD, Fault
from machine.architecture.opcodes import Action
from machine.architecture.processor_state import HFLAG_CODE_64, HFLAG_EM, HFLAG_TS
from machine.bus.ram import PAGE_SIZE
from machine.devices.chipset import Chipset
from machine.events import Halted, InterruptSource
from machine.execution.alignment_check import AlignmentCheck
from machine.execution.coprocessor import INSTRUCTION_LENGTH, Coprocessor
from machine.execution.interrupt_recognition import InterruptRecognition
from machine.execution.observed_registers import ObservedRegisters
from machine.execution.ring_and_mode import RingAndMode
from machine.instructions.disposition import Done
from machine.instructions.quiet import is_quiet, loads_data_segment
from machine.instructions.segment_limits import Scope, SegmentLimits
from machine.instructions.segmentation.task_switch import TaskFault
from machine.instructions.system.msrs import Msrs
from machine.interrupts.delivery import Delivery, Interrupt
from machine.interrupts.interrupt_returns import InterruptReturns
from machine.interrupts.known_transitions import KnownTransitions
from machine.interrupts.unicorn_faults import mistaken_for_sse, take_back
from machine.journal import Journal
from machine.processor.cpu import FLAG_IF, FLAG_RF, FLAG_TF, Cpu
from machine.processor.debug_registers import DR6_BS, DR6_BT
from machine.processor.step_hook import NEVER, Stop, watch_cli_and_sti
from machine.state import Stateful

if TYPE_CHECKING:
    from machine.instructions.watched import WatchedInstructions

_UNDEFINED = int(Action.UNDEFINED)
_MISLEADING = int(Action.MISLEADING)
_PREFIXES_ONLY = (int(Action.OVERRIDE), int(Action.CODE), _MISLEADING)
_INTERRUPT_RETURN = int(Action.INTERRUPT_RETURN)
_IRET = 0xCF
_LEFT_BY = {
    **dict.fromkeys((0x0F05, 0x0F07, 0x0F34, 0x0F35), "fast_system_call"),
    **dict.fromkeys((0xCA, 0xCB), "far_return"),
    **dict.fromkeys((0x9A, 0xFF), "call_gate"),
    _IRET: "interrupt_return",
}
"""Causes of ring transitions by opcode, except task switches."""
_MOV_TO_CR = 0x0F22
_STOPS_IN_A_ROW = 100
"""Stops after which the machine checks host time and signals, even if no instruction retires."""


class Reached(Enum):
    """The place where the processor has stopped."""

    ANYWHERE = "anywhere"
    ADDRESS = "address"
    """Before an address at which the instruction hook was asked to stop."""


class Execution(Stateful):
    """Execution on one processor.

    Args:
        cpu: The processor.
        chipset: Asked for pending interrupts and NMIs.
        journal: Receives the events.
        msrs: The model-specific registers.
    """

    STATE = ("halted", "cut_short")
    PARTS = ("delivery", "ring_and_mode", "_returns")
    WIRING = (
        *("_cpu", "_chipset", "_journal", "coprocessor", "_observed", "_alignment", "_limits", "_msrs", "_watched"),
        *("_recognition", "_known", "reached", "_stops_in_a_row"),
    )

    def __init__(self, cpu: Cpu, chipset: Chipset, journal: Journal, msrs: Msrs) -> None:
        self._cpu = cpu
        self._chipset = chipset
        self._journal = journal
        self.reached = Reached.ANYWHERE
        """The place where the processor has stopped: see `take_reached`."""
        self.delivery = Delivery(cpu, journal)
        self.coprocessor: Coprocessor | None = None
        self.halted = False
        self.cut_short = False
        """Time has passed in HLT or in the coprocessor, possibly less than requested: the next deadline decides."""
        self._returns = InterruptReturns(cpu, journal)
        self._limits = SegmentLimits(cpu)
        self.ring_and_mode = RingAndMode(cpu, journal, self._returns, self._limits)
        self._observed = ObservedRegisters(cpu, journal)
        parts = self.delivery, self._returns, self.ring_and_mode, self._observed
        self._known = KnownTransitions(cpu)
        at_coprocessor = lambda: self.at_coprocessor  # noqa: E731
        self._recognition = InterruptRecognition(cpu, *parts, known=self._known, at_coprocessor=at_coprocessor)
        self._alignment = AlignmentCheck(cpu)
        self._msrs = msrs
        self._watched: WatchedInstructions | None = None
        self._stops_in_a_row = _STOPS_IN_A_ROW

    def watch_flags(self) -> None:
        """Return from `run` after every instruction that may change RFLAGS.IF, from now on."""
        self._stops_in_a_row = 1
        self.ring_and_mode.watches_flags = True
        self.ring_and_mode.watch()
        watch_cli_and_sti(self._cpu.hook)
        self._known.forget()
        self._cpu.engine.paging.flush_translations()

    def take_reached(self) -> Reached:
        """Return the place where the processor has stopped, and reset it to ANYWHERE."""
        reached, self.reached = self.reached, Reached.ANYWHERE
        return reached

    @property
    def ended(self) -> bool:
        """True if the processor is halted or shut down."""
        return self.halted or self.delivery.shut_down

    def sleep(self, duration_ns: int) -> None:
        """Spend `duration_ns` in HLT."""
        self._cpu.clock.spend(duration_ns)
        self.cut_short = True

    def reset(self) -> None:
        """Reset debug registers, ring and mode, after a loader has set the processor's state."""
        self._cpu.debug.reset()
        self.halted, self.reached = False, Reached.ANYWHERE
        self.ring_and_mode.reset()

    # Interrupts

    def take_interrupt(self, *, pending: bool) -> bool:
        """Deliver an NMI or an external interrupt, or execute the instruction in the interrupt shadow that delays it.

        Args:
            pending: The interrupt controller has an external interrupt.

        Returns:
            True if an interrupt was delivered or an instruction executed.
        """
        chipset, registers = self._chipset, self._cpu.registers
        nmi = chipset.nmi_pending and not self.ring_and_mode.nmi_blocked
        if registers.interrupts_inhibited and (nmi or pending) and not self.halted:
            self.step()
            return True
        if not nmi and not (pending and self._cpu.hook.rflags & FLAG_IF):
            return False
        repeating = self._recognition.repeating()
        if nmi:
            chipset.take_nmi()
            self.ring_and_mode.block_nmi(True)
        source: InterruptSource = "nmi" if nmi else "external"
        vector = NMI if nmi else chipset.acknowledge()
        self.halted = self.cut_short = False
        self._recognition.deliver(Interrupt(vector, source, registers.rip, repeating=repeating))
        return True

    @property
    def trap_waits(self) -> bool:
        """True if the trap of a new task's T flag was not delivered, because a deadline was reached."""
        return bool(self._cpu.debug.met & DR6_BT)

    def take_trap(self) -> None:
        """Deliver the waiting trap."""
        self._recognition.trap(0)

    # One instruction

    def step(self) -> None:
        """Execute one instruction, with all breakpoints, watched instructions and checks."""
        if self.checks_wanted:
            self._step_checked()
        else:
            self._step_unchecked()

    def _step_unchecked(self) -> None:
        self._cpu.hook.watch_if = 0
        self._cpu.clock.step()
        self.stopped(self._cpu.engine.execute())

    @property
    def checks_wanted(self) -> bool:
        """True if `step` must execute each instruction.

        That is necessary if one may raise #AC or exceed a segment limit, or if MOV SS has hit a data breakpoint, which
        is reported after the next instruction.
        """
        cpu = self._cpu
        if cpu.debug.held:
            return True
        hflags = cpu.registers.hflags
        if hflags & HFLAG_CODE_64 and hflags & 3 != 3:  # 64-bit mode has no limits, and only ring 3 has #AC
            return False
        return self._alignment.wanted or self._limits.scope is Scope.EVERYTHING

    def _step_checked(self) -> None:
        """Execute one instruction after checking segment limits and alignment; breakpoints and #UD come first."""
        cpu = self._cpu
        at = cpu.linear_rip
        instruction = cpu.code.instruction_at(at)
        limited = self._limits.scope is Scope.EVERYTHING
        if not cpu.debug.at(at):
            try:
                if limited:
                    self._limits.check_fetch(instruction)
                if instruction is not None and not instruction.action & _UNDEFINED:
                    (self._watched or self._watched_instructions()).check_before_access(instruction)
                    if limited:
                        self._limits.check_accesses(instruction)
                    if self._alignment.wanted:
                        self._alignment.check(instruction)
            except Fault as fault:
                self._recognition.raise_fault(fault)
                return
        self._step_unchecked()

    def _execute_one(self, instruction: Instruction | None = None) -> Stop:
        """Execute only the instruction at RIP, watched or not.

        Args:
            instruction: The instruction, if it has been decoded.

        Returns:
            The stop, which the caller must still handle.
        """
        hook = self._cpu.hook
        hook.pass_once = hook.pass_watched = self._cpu.linear_rip
        hook.watch_if = 0
        self._cpu.clock.step()
        if instruction is not None and instruction.action & _MISLEADING and instruction.has_segment:
            stop = self._cpu.engine.execute_misleading(instruction.prefixes)
        else:
            stop = self._cpu.engine.execute()
        hook.pass_once = hook.pass_watched = NEVER
        return stop

    def _execute_without_units(self, instruction: Instruction) -> Stop:
        """Do as `_execute_one`, with CR0.EM and CR0.TS hidden from Unicorn."""
        registers = self._cpu.registers
        hidden = registers.hflags & (HFLAG_EM | HFLAG_TS)
        registers.hflags ^= hidden
        try:
            return self._execute_one(instruction)
        finally:
            registers.hflags |= hidden

    @property
    def at_coprocessor(self) -> bool:
        """True if the next instruction is the coprocessor's."""
        coprocessor, registers = self.coprocessor, self._cpu.registers
        return coprocessor is not None and registers.hflags & 3 == 3 and coprocessor.address == registers.rip

    def run_coprocessor(self, budget_ns: int) -> None:
        """Run the coprocessor for at most about `budget_ns` of virtual time."""
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
        """Execute up to a stop after which the machine must act before the processor may continue."""
        chipset, hook, clock, execute = self._chipset, self._cpu.hook, self._cpu.clock, self._cpu.engine.execute
        for _ in range(self._stops_in_a_row):
            stop = execute()
            if stop is Stop.RETURNED:
                self._record_return()
            else:
                self._handle(stop)
            over = self.halted or self.delivery.shut_down
            due = over or clock.stepping or hook.retired >= hook.deadline  # a step replaces the deadline
            waiting = chipset.pending() or chipset.nmi_pending
            if due or waiting or self.reached is not Reached.ANYWHERE or self.at_coprocessor or self.checks_wanted:
                return

    def _handle(self, stop: Stop) -> None:
        """Handle a stop; at a quiet instruction, execute up to the next other stop, and handle that.

        A quiet instruction changes only its operands, so interrupts, deadlines and the mode need no check after it. If
        a device requested something meanwhile, the processor stops again. A load of a data segment is quiet, too, if
        the same instructions are checked afterwards.
        """
        cpu, hook, limits = self._cpu, self._cpu.hook, self._limits
        instruction: Instruction | None = None
        following: Stop | None = stop
        while True:
            if instruction is None:
                stop = cpu.engine.execute() if following is None else following
                following = None
                if stop is Stop.WATCHED_INSTRUCTION and not (hook.rflags & FLAG_TF or cpu.debug.met):
                    instruction = cpu.code.watched_instruction()
                if instruction is None:
                    break
            quiet = is_quiet(instruction) or instruction.action & hook.watched in _PREFIXES_ONLY
            if not quiet and not (loads_data_segment(instruction) and cpu.registers.cr[0] & CR0_PE):
                break
            scope = None if quiet else limits.scope
            self.cut_short = False
            hook.rflags &= ~FLAG_RF
            before = self._observed.look() if instruction.opcode == _MOV_TO_CR else None
            rip, page = cpu.registers.rip, cpu.linear_rip & -PAGE_SIZE
            watched = self._watched or self._watched_instructions()
            try:
                done = watched.execute_run(instruction)
            except Fault as fault:
                self._recognition.raise_fault(fault)
                return
            if done is Done.NATIVE and instruction.action & _MISLEADING:
                self.stopped(self._execute_one(instruction))
                return
            if done is Done.NATIVE:
                hook.pass_watched = cpu.linear_rip
            if scope is not None and limits.scope is not scope:
                self.ring_and_mode.watch()
                if not cpu.debug.met:
                    return
            if before is not None and before != self._observed.look():
                self._observed.record_changes(before, rip)
            if cpu.debug.met:
                break
            follows = done is Done.COMPLETE and scope is None and before is None
            instruction = watched.following(page) if follows else None
        self.stopped(stop, instruction)

    def _record_return(self) -> None:
        """Record an IRETQ that native code has executed (native/known.h)."""
        self.cut_short = False
        ring, ring_and_mode = self._cpu.hook.left_ring, self.ring_and_mode
        ring_and_mode.nmi_blocked = False
        if self._cpu.registers.hflags & 3 != ring:
            ring_and_mode.record_left(ring, _LEFT_BY[_IRET])
        else:
            self._returns.look()
        self._recognition.trap_after(Done.COMPLETE, 0)

    def _watched_instructions(self) -> "WatchedInstructions":
        """Import the instructions when the first one is met: many small kernels have none."""
        from machine.instructions.watched import WatchedInstructions  # noqa: PLC0415

        made = WatchedInstructions(self._cpu, self._msrs, self._chipset.local_apic, self._limits)
        self._watched = made
        return made

    def stopped(self, stop: Stop, instruction: Instruction | None = None) -> None:
        """Handle a stop; `instruction` is the watched one, if it has been decoded."""
        cpu, hook = self._cpu, self._cpu.hook
        self.cut_short = False
        if stop is Stop.RETURNED:
            self._record_return()
        elif stop is Stop.INTERRUPT or stop is Stop.INVALID_INSTRUCTION:
            self._met(stop)
        elif stop is Stop.NO_CODE:  # the floating bus or a device reads as all ones, which is not an instruction
            self._recognition.raise_fault(Fault(UD))
        elif cpu.debug.met or (cpu.debug.held and not cpu.registers.interrupts_inhibited):
            self._recognition.trap(0)
        elif stop is Stop.WATCHED_INSTRUCTION:
            self._execute_watched(instruction or cpu.code.watched_instruction())
        elif stop is Stop.DEBUG:
            self._recognition.instruction_breakpoint()
        elif stop is Stop.ADDRESS:
            self.reached = Reached.ADDRESS
        elif stop is Stop.BREAKPOINT:
            if not self._returns.look():
                self._pass_return()
        elif stop is Stop.HALT:
            if hook.rflags & FLAG_TF:
                self._recognition.trap(DR6_BS)
                return
            self.halted = True
            self._journal.emit(Halted, bool(cpu.rflags & FLAG_IF))

    def _met(self, stop: Stop) -> None:
        """Handle an exception or INT, or execute an instruction that Unicorn refuses by mistake."""
        cpu = self._cpu
        mistaken = mistaken_for_sse(cpu, cpu.hook.vector if stop is Stop.INTERRUPT else UD)
        if mistaken is None:
            self._recognition.met(stop)
            return
        take_back(cpu)
        self.stopped(self._execute_without_units(mistaken))

    def _pass_return(self) -> None:
        """Execute the instruction at an interrupt's return address, reached without that return: no special case."""
        self._cpu.hook.breakpoint = NEVER
        self._step_unchecked()
        self._returns.watch()

    def _execute_watched(self, instruction: Instruction | None) -> None:
        """Execute a watched instruction, and record its changes."""
        cpu, registers, ring_and_mode = self._cpu, self._cpu.registers, self.ring_and_mode
        if instruction is None:  # it extends into a page that cannot be fetched: let Unicorn fault
            self.stopped(self._execute_one())
            return
        cpu.hook.rflags &= ~FLAG_RF  # it lasts for one instruction after IRET
        rip, ring, stepping = registers.rip, registers.cpl, cpu.hook.rflags & FLAG_TF
        task = registers.tr.selector
        returns = instruction.action & _INTERRUPT_RETURN
        if returns and ring_and_mode.nmi_blocked:
            ring_and_mode.nmi_blocked = False
        before = None if returns and instruction.long else self._observed.look()  # IRETQ loads none of them
        in_new_task: Fault | None = None
        known = self._known.before_return() if returns and instruction.wide and before is None else None
        try:
            done = (self._watched or self._watched_instructions()).execute(instruction)
        except TaskFault as fault:  # of the new task, before its first instruction
            done, in_new_task = Done.COMPLETE, fault
        except Fault as fault:
            self._recognition.raise_fault(fault)
            return
        stop = self._execute_one(instruction) if done is Done.NATIVE else None
        if before is not None and self._observed.look() != before:
            registers.cr[0] &= CR0_BITS
            cpu.engine.paging.follow(before[0])
            self._observed.record_changes(before, rip)
            ring_and_mode.watch()
            cpu.engine.paging.flush_translations()
        if registers.cpl != ring:
            cause = _LEFT_BY[instruction.opcode] if registers.tr.selector == task else "task_switch"
            ring_and_mode.left_ring(ring, cause)
        ring_and_mode.follow_mode(rip)
        if returns:
            self._returns.look()
            self._known.note_return(known)
        if not instruction.long:
            ring_and_mode.watch()  # it may have loaded FS or GS
        if stop is not None:
            self.stopped(stop)
        elif in_new_task is not None:
            self._recognition.raise_fault(in_new_task)
        elif registers.interrupts_inhibited:  # by MOV SS, which also delays #DB
            cpu.debug.hold()
        else:
            self._recognition.trap_after(done, stepping)
