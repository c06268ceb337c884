"""The execution of watched instructions, in place of Unicorn, on one processor.

`Execution` imports this module, and with it all instructions, when it meets the first one: small kernels have none.
"""

from machine.architecture.decoding import Instruction
from machine.instructions.disposition import Done
from machine.instructions.floating_point.runs import FloatingPointRuns
from machine.instructions.floating_point.unit import FloatingPointUnit
from machine.instructions.general.wide_operands import is_misplaced
from machine.instructions.memory import OperandMemory
from machine.instructions.segment_limits import SegmentLimits
from machine.instructions.stopped_operands import is_unusual
from machine.instructions.system.msrs import Msrs
from machine.instructions.system_instructions import SystemInstructions, TaskPriority
from machine.processor.cpu import Cpu


class WatchedInstructions:
    """Executes watched instructions. See `SystemInstructions` for the arguments."""

    def __init__(self, cpu: Cpu, msrs: Msrs, apic: TaskPriority, limits: SegmentLimits) -> None:
        self._cpu = cpu
        x87 = FloatingPointUnit(cpu, OperandMemory(cpu))
        self._runs = FloatingPointRuns(cpu, x87.state)
        instructions = SystemInstructions(cpu, msrs, apic, x87, limits)
        self.execute = instructions.execute
        """See `SystemInstructions.execute`."""
        self.check_before_access = instructions.check_before_access
        """See `SystemInstructions.check_before_access`."""

    def execute_run(self, instruction: Instruction) -> Done:
        """Execute the instruction at which the engine has stopped, and perhaps others after it. Raises Fault."""
        return Done.COMPLETE if self._runs.execute(instruction) else self.execute(instruction)

    def following(self, page: int) -> Instruction | None:
        """Return the next instruction if the engine would only stop before it, because it is to be executed here.

        Entering the engine takes longer than most instructions. See `Lookahead.next_in` for `page`.
        """
        cpu = self._cpu
        found = cpu.engine.ahead.next_in(page)
        if found is None:
            return None
        if found.action & cpu.hook.watched or is_misplaced(cpu, found) or is_unusual(cpu, found):
            return found
        return None
