"""The rules of the instructions that load segment or descriptor-table registers, by opcode."""

from collections.abc import Callable
from functools import partial

from machine.architecture.decoding import Instruction
from machine.instructions.disposition import Done
from machine.instructions.general.near_branch import execute_near_branch
from machine.instructions.memory import OperandMemory
from machine.instructions.segmentation.descriptor_queries import DescriptorQueries
from machine.instructions.segmentation.far_calls import FarCalls
from machine.instructions.segmentation.far_return import FarReturn
from machine.instructions.segmentation.interrupt_return import InterruptReturn
from machine.instructions.segmentation.segment_loads import SegmentLoads
from machine.instructions.segmentation.task_registers import TaskRegisters
from machine.instructions.segmentation.task_switch import TaskSwitch
from machine.processor.cpu import Cpu

Rule = Callable[[Instruction], Done]


def segmentation_rules(cpu: Cpu, memory: OperandMemory) -> dict[int, Rule]:
    """Return the rules for one processor."""
    tasks, near = TaskSwitch(cpu), partial(execute_near_branch, cpu)
    far, loads = FarCalls(cpu, memory, tasks), SegmentLoads(cpu, memory)
    far_return, registers, queries = FarReturn(cpu, memory), TaskRegisters(cpu, memory), DescriptorQueries(cpu, memory)
    return {
        **dict.fromkeys((0x07, 0x17, 0x1F, 0x0FA1, 0x0FA9), loads.pop),
        **dict.fromkeys((0xC4, 0xC5, 0x0FB2, 0x0FB4, 0x0FB5), loads.load_far_pointer),
        **dict.fromkeys((0xCA, 0xCB), far_return.execute),
        0x8E: loads.move,
        0x9A: far.call,
        0xCF: InterruptReturn(cpu, memory, tasks).execute,
        0xEA: far.jump,
        0xFF: _by_extension({2: near, 3: far.call, 4: near, 5: far.jump}),
        0x0F00: _by_extension({2: registers.lldt, 3: registers.ltr, 4: queries.verr, 5: queries.verw}),
        0x0F02: queries.lar,
        0x0F03: queries.lsl,
    }


def _by_extension(rules: dict[int, Rule]) -> Rule:
    """Return the rule of an opcode extended by the reg field; Unicorn executes extensions without a rule."""

    def execute(instruction: Instruction) -> Done:
        rule = rules.get(instruction.extension)
        return Done.NATIVE if rule is None else rule(instruction)

    return execute
