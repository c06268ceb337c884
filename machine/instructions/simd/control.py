"""LDMXCSR and STMXCSR (SDM volume 2). Unicorn neither refuses reserved bits nor stores the flags in MXCSR."""

from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import GP, Fault
from machine.instructions.disposition import Done
from machine.instructions.floating_point.fxsave import MXCSR_MASK
from machine.instructions.operand_access import read_memory, require_sse, write_memory
from machine.processor.cpu import Cpu


def load_mxcsr(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute LDMXCSR. Raises Fault: #GP(0) for reserved bits."""
    require_sse(cpu)
    value = read_memory(cpu, instruction, 4)
    if value & ~MXCSR_MASK:
        raise Fault(GP, 0)
    cpu.context.mxcsr = value
    cpu.skip(instruction.length)
    return Done.COMPLETE


def store_mxcsr(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute STMXCSR. Raises Fault."""
    require_sse(cpu)
    write_memory(cpu, instruction, cpu.context.mxcsr, 4)
    cpu.skip(instruction.length)
    return Done.COMPLETE
