"""Recognition of exceptions, traps and interrupts (SDM volume 3, 6.8 and 6.9): which one is due, and what it changes.

Delivery, which comes next, enters the handler: machine/interrupts/delivery.py.
"""

from collections.abc import Callable

from machine.architecture.decoding import REPEAT, REPEAT_NOT_EQUAL, Instruction
from machine.architecture.exceptions import DB, UD, Fault
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.execution.observed_registers import ObservedRegisters
from machine.execution.ring_and_mode import RingAndMode
from machine.instructions.disposition import Done
from machine.instructions.segmentation.segment_loads import loads_ss
from machine.interrupts.delivery import Delivery, Interrupt
from machine.interrupts.interrupt_returns import InterruptReturns
from machine.interrupts.known_transitions import KnownTransitions
from machine.interrupts.unicorn_faults import exception_met, take_back
from machine.processor.cpu import FLAG_RF, FLAG_TF, Cpu
from machine.processor.debug_registers import DR6_BS, DR6_BT
from machine.processor.step_hook import NEVER, STRINGS, Stop

_REPEATS = frozenset([REPEAT, REPEAT_NOT_EQUAL])
_COMPARING = frozenset([0xA6, 0xA7, 0xAE, 0xAF])


class InterruptRecognition:
    """Recognition of exceptions, traps and interrupts on one processor, each of which is then delivered.

    Args:
        cpu: The processor.
        delivery: Enters the handlers.
        returns: Keeps the interrupts that have not returned.
        ring_and_mode: Follows changes of ring and mode.
        observed: Records changes of registers.
        known: Notes how INT was delivered.
        at_coprocessor: Returns True if the instruction at RIP is the coprocessor's, which Unicorn does not know.
    """

    def __init__(
        self,
        cpu: Cpu,
        delivery: Delivery,
        returns: InterruptReturns,
        ring_and_mode: RingAndMode,
        observed: ObservedRegisters,
        *,
        known: KnownTransitions,
        at_coprocessor: Callable[[], bool],
    ) -> None:
        self._cpu = cpu
        self._delivery = delivery
        self._returns = returns
        self._ring_and_mode = ring_and_mode
        self._observed = observed
        self._known = known
        self._at_coprocessor = at_coprocessor

    def deliver(self, interrupt: Interrupt) -> None:
        """Deliver an interrupt or exception, and the #DB that may follow at once; record their changes.

        If each #DB switches to a task that traps at once, the chain ends at a deadline; then `Execution.trap_waits`.
        """
        debug, hook = self._cpu.debug, self._cpu.hook
        self._deliver(interrupt)
        # a breakpoint at the MOV SS before this instruction, or the T flag of a new task
        while (debug.held or debug.met & DR6_BT) and not self._delivery.shut_down:
            if hook.retired >= hook.deadline and debug.met & DR6_BT:
                return
            self._deliver(self._trap(0))

    def _deliver(self, interrupt: Interrupt) -> None:
        self._cpu.hook.pass_once = NEVER
        registers, in_long_mode = self._cpu.registers, self._ring_and_mode.mode == "long"
        ring, rsp = registers.hflags & 3, registers.rsp
        base = 0 if in_long_mode else registers.linear_rip - registers.rip
        self._returns.look()  # an interrupt can follow immediately on the return from another
        before = None if in_long_mode else self._observed.look()
        self._delivery.deliver(interrupt)
        if interrupt.source != "software" and not interrupt.is_trap:  # others belong to their instruction
            self._cpu.clock.timeless_steps += 1
        if before is not None:  # a task gate loads TR, CR3 and segment registers
            self._observed.record_changes(before, interrupt.return_address)
            self._ring_and_mode.watch()
        if ring == registers.hflags & 3:
            linear = base + interrupt.return_address & 2**64 - 1
            self._returns.entered(interrupt.vector, interrupt.return_address, linear, rsp)
        else:
            self._ring_and_mode.watch()
        if not in_long_mode:
            self._ring_and_mode.follow_mode(registers.rip)

    def raise_fault(self, fault: Fault) -> None:
        """Deliver an exception of the instruction at RIP, which has not retired.

        CMPS and SCAS with REPE or REPNE leave the flags as they were before the first iteration (SDM volume 2, REP).
        """
        cpu = self._cpu
        cpu.debug.met = 0
        instruction = self._repeated()
        if instruction is not None and instruction.opcode in _COMPARING:
            cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | cpu.hook.flags_before & ARITHMETIC_FLAGS
        interrupt = Interrupt(fault.vector, "exception", self._cpu.rip, fault.error_code, fault.address)
        self.deliver(interrupt)

    def trap(self, causes: int) -> None:
        """Deliver #DB after the last retired instruction.

        Args:
            causes: Bits of DR6 to set, in addition to those of breakpoints hit.
        """
        self.deliver(self._trap(causes))

    def _trap(self, causes: int) -> Interrupt:
        debug = self._cpu.debug
        debug.dr6 = debug.dr6 & ~0xF | debug.take() | causes
        return Interrupt(DB, "exception", self._cpu.rip, is_trap=True, repeating=self.repeating())

    def repeating(self) -> bool:
        """Return whether the instruction at RIP is a repeated string instruction between two iterations."""
        return self._repeated() is not None

    def _repeated(self) -> Instruction | None:
        """Return the instruction at RIP if it is a repeated string instruction between two iterations."""
        cpu = self._cpu
        if cpu.hook.last != cpu.linear_rip:
            return None
        found = cpu.code.instruction_at(cpu.linear_rip)
        repeats = found is not None and found.opcode in STRINGS and bool(_REPEATS & set(found.prefixes))
        return found if repeats else None

    def met(self, stop: Stop) -> None:
        """Deliver the exception or the INT instruction reported by Unicorn."""
        cpu = self._cpu
        software, error_code, following = cpu.context.interrupt_met
        vector = UD if stop is Stop.INVALID_INSTRUCTION else cpu.hook.vector
        if software:
            registers = cpu.registers
            if not registers.in_64_bit_code:
                following &= 0xFFFF_FFFF  # Unicorn does not wrap it
            registers.rip = following
            before = self._known.before_interrupt(vector)
            self.deliver(Interrupt(vector, "software", following))
            self._known.note_interrupt(before, vector)
        elif vector == UD and self._at_coprocessor():
            take_back(cpu)
        elif vector == DB:  # the only one that Unicorn raises, because it never sees the debug registers
            self.trap(DR6_BS)
        else:
            self.raise_fault(exception_met(cpu, vector, error_code))

    def instruction_breakpoint(self) -> None:
        """Deliver #DB before the instruction at RIP, whose address is in a debug register.

        RF, or a load of SS just before, suppresses it (SDM volume 3, 18.3.1.1).
        """
        cpu = self._cpu
        if cpu.rflags & FLAG_RF or self._follows_load_of_ss():
            cpu.hook.pass_once = cpu.linear_rip
            return
        cpu.debug.dr6 = cpu.debug.dr6 & ~0xF | cpu.debug.at(cpu.linear_rip)
        self.deliver(Interrupt(DB, "exception", cpu.rip))

    def _follows_load_of_ss(self) -> bool:
        """Return whether the last instruction was MOV SS or POP SS. STI also inhibits interrupts, but not #DB."""
        cpu = self._cpu
        last = cpu.code.instruction_at(cpu.hook.last) if cpu.registers.interrupts_inhibited else None
        return last is not None and loads_ss(last)

    def trap_after(self, done: Done, stepping: int) -> None:
        """Deliver #DB after an instruction executed here, if there is a cause.

        Args:
            done: The result of the instruction.
            stepping: RFLAGS.TF as it was before the instruction.
        """
        if done is Done.TRAP:
            self.trap(0)
            return
        if done is Done.TRANSFERRED:
            stepping = self._cpu.hook.rflags & FLAG_TF
        if stepping or self._cpu.debug.met or self._cpu.debug.held:
            self.trap(DR6_BS if stepping else 0)
