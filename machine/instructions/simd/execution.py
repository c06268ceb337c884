"""Execution of SSE floating-point instructions, with their exceptions (SDM volume 1, 11.5).

The instruction hook stops before those that Unicorn would execute wrongly (unusual_operands.py), and before all of them
while MXCSR unmasks an exception or flushes results to zero.
"""

from machine.architecture.control_registers import CR4_OSXMMEXCPT
from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import UD, XM, Fault
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.instructions.disposition import Done
from machine.instructions.operand_access import (
    read_mmx_operand,
    read_operand,
    read_vector_operand,
    require_sse,
    write_general,
)
from machine.instructions.simd.arithmetic import OPERATIONS, Operation, Place
from machine.processor.cpu import Cpu

_MASKS = 7
_KEEPS_X87 = 0x0F2A
"""CVTPI2PD: with a memory source, the only MMX form that leaves the x87 state unchanged."""


def execute_simd(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP. Raises Fault: #XM, or #UD without CR4.OSXMMEXCPT, and those of operands."""
    require_sse(cpu)
    operation = OPERATIONS[instruction.wide].get((instruction.opcode, instruction.prefix))
    if operation is None:
        return Done.NATIVE
    context = cpu.context
    source = _source(cpu, instruction, operation)
    mxcsr = context.mxcsr
    destination = context.read_vector(instruction.register)
    value, raised = operation.evaluate(destination, source, instruction.immediate, mxcsr)
    if raised & ~mxcsr:
        context.mxcsr = mxcsr | raised
    if raised & ~(mxcsr >> _MASKS):
        raise Fault(XM if cpu.registers.cr[4] & CR4_OSXMMEXCPT else UD)
    _deliver(cpu, instruction, operation, value)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def _source(cpu: Cpu, instruction: Instruction, operation: Operation) -> int:
    if operation.source is Place.VECTOR:
        return read_vector_operand(cpu, instruction, operation.source_bytes)
    if operation.source is Place.MMX:
        return read_mmx_operand(cpu, instruction)
    return read_operand(cpu, instruction, operation.source_bytes)


def _deliver(cpu: Cpu, instruction: Instruction, operation: Operation, value: int) -> None:
    context, destination = cpu.context, operation.destination
    if destination is Place.VECTOR:
        context.write_vector(instruction.register, value)
    elif destination is Place.STATUS_FLAGS:
        cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | value
    elif destination is Place.GENERAL:
        write_general(cpu, instruction.register, value, 8 if instruction.wide else 4)
    if Place.MMX in (operation.source, destination):
        if isinstance(instruction.operand, int) or instruction.opcode != _KEEPS_X87 or not instruction.prefix:
            context.enter_mmx()
        if destination is Place.MMX:
            context.write_mmx(instruction.register & 7, value)


RULES = dict.fromkeys([opcode for opcode, _ in OPERATIONS[False]], execute_simd)
