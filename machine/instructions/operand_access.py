"""Register and memory operands of instructions that the machine executes itself (SDM volume 2, 2.1 and 2.2)."""

from machine.architecture.control_registers import CR0_EM, CR0_TS, CR4_OSFXSR
from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import GP, NM, UD, Fault
from machine.architecture.instruction_set import Prefix
from machine.architecture.opcodes import Action
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.instructions.memory import OperandMemory
from machine.instructions.operands import linear_address
from machine.processor.cpu import Cpu

_HIGH_BYTES = range(4, 8)
"""The register numbers of AH, CH, DH and BH, without REX."""
_MMX = int(Action.MMX)
_SSE = frozenset(
    (
        *(*range(0x0F10, 0x0F18), *range(0x0F28, 0x0F30), *range(0x0F50, 0x0F80), 0x0FC2, *range(0x0FC4, 0x0FC7)),
        *(*range(0x0FD0, 0x0FFF), *range(0x0F3800, 0x0F38E0), *range(0x0F3A00, 0x0F3B00)),
    )
)
"""The opcodes of SSE and MMX. MOVNTI, MOVBE, CRC32, POPCNT and ADX use general registers only."""
_MMX_AND_XMM = frozenset([0x0F2A, 0x0F2C, 0x0F2D, 0x0FD6])
"""Conversions between MMX and XMM registers, MOVQ2DQ, MOVDQ2Q."""
_GROUP_15, _MXCSR = 0x0FAE, (2, 3)
"""LDMXCSR and STMXCSR."""


def require_unit(cpu: Cpu, instruction: Instruction) -> None:
    """Raise the Fault of an SSE or MMX instruction that the control registers forbid; none of any other one.

    Without CR0.EM, CR0.TS comes first; with it, it does not matter (SDM volume 3, tables 12-1 and 14-1).
    """
    opcode = instruction.opcode
    if opcode in _SSE:
        if instruction.action & _MMX and opcode not in _MMX_AND_XMM:
            require_mmx(cpu)
        else:
            require_sse(cpu)
    elif opcode == _GROUP_15 and instruction.prefix == Prefix.NONE and instruction.extension in _MXCSR:
        require_sse(cpu)


def require_sse(cpu: Cpu) -> None:
    """Raise the Fault of an SSE instruction that the control registers forbid (SDM volume 2, table 2-21)."""
    cr = cpu.registers.cr
    if cr[0] & CR0_EM or not cr[4] & CR4_OSFXSR:
        raise Fault(UD)
    if cr[0] & CR0_TS:
        raise Fault(NM)


def require_x87(cpu: Cpu) -> None:
    """Raise the Fault of an x87 instruction, of FXSAVE or FXRSTOR that CR0 forbids: #NM, even if EM and TS are set."""
    if cpu.registers.cr[0] & (CR0_EM | CR0_TS):
        raise Fault(NM)


def require_mmx(cpu: Cpu) -> None:
    """Raise the Fault of an MMX instruction that CR0 forbids."""
    if cpu.registers.cr[0] & CR0_EM:
        raise Fault(UD)
    if cpu.registers.cr[0] & CR0_TS:
        raise Fault(NM)


def read_memory(cpu: Cpu, instruction: Instruction, size: int, *, alignment: int = 1) -> int:
    """Read `size` bytes of the memory operand. Raises Fault."""
    address, stack = _place(cpu, instruction, alignment)
    return int.from_bytes(OperandMemory(cpu).read(address, size, stack=stack), "little")


def require_writable(cpu: Cpu, instruction: Instruction, size: int) -> None:
    """Raise the Fault of a write to the memory operand, for an instruction that first reads it."""
    address, stack = _place(cpu, instruction, 1)
    OperandMemory(cpu).probe(address, size, write=True, stack=stack)


def write_memory(cpu: Cpu, instruction: Instruction, value: int, size: int, *, alignment: int = 1) -> None:
    """Store into the memory operand. Raises Fault."""
    address, stack = _place(cpu, instruction, alignment)
    OperandMemory(cpu).write(address, value.to_bytes(size, "little"), stack=stack)


def _place(cpu: Cpu, instruction: Instruction, alignment: int) -> tuple[int, bool]:
    operand = instruction.operand
    assert isinstance(operand, MemoryOperand)
    address = linear_address(cpu, instruction)
    if address % alignment:
        raise Fault(GP, 0)
    return address, operand.segment == "ss"


def read_general(cpu: Cpu, number: int, size: int, *, rex: int = 0x40) -> int:
    """Return the low `size` bytes of a general register; AH, CH, DH, BH are possible if `rex` is 0 and `size` 1."""
    if size == 1 and not rex and number in _HIGH_BYTES:
        return int(getattr(cpu.registers, GENERAL_REGISTERS[number & 3])) >> 8 & 0xFF
    return int(getattr(cpu.registers, GENERAL_REGISTERS[number])) & (1 << 8 * size) - 1


def write_general(cpu: Cpu, number: int, value: int, size: int, *, rex: int = 0x40) -> None:
    """Set a general register: 4 bytes are zero-extended, fewer keep the other bits."""
    shift = 0
    if size == 1 and not rex and number in _HIGH_BYTES:
        number, shift = number & 3, 8
    name = GENERAL_REGISTERS[number]
    if size < 4:
        mask = (1 << 8 * size) - 1 << shift
        value = getattr(cpu.registers, name) & ~mask | value << shift
    setattr(cpu.registers, name, value)


def read_operand(cpu: Cpu, instruction: Instruction, size: int) -> int:
    """Read the r/m operand, a general register or memory. Raises Fault."""
    if isinstance(instruction.operand, int):
        return read_general(cpu, instruction.operand, size, rex=instruction.rex)
    return read_memory(cpu, instruction, size)


def write_operand(cpu: Cpu, instruction: Instruction, value: int, size: int) -> None:
    """Write the r/m operand, a general register or memory. Raises Fault."""
    if isinstance(instruction.operand, int):
        write_general(cpu, instruction.operand, value, size, rex=instruction.rex)
    else:
        write_memory(cpu, instruction, value, size)


def read_vector_operand(cpu: Cpu, instruction: Instruction, size: int, *, aligned: bool = True) -> int:
    """Read the r/m operand, the low `size` bytes of an XMM register or memory. Raises Fault."""
    if isinstance(instruction.operand, int):
        return cpu.context.read_vector(instruction.operand) & (1 << 8 * size) - 1
    return read_memory(cpu, instruction, size, alignment=16 if size == 16 and aligned else 1)


def read_mmx_operand(cpu: Cpu, instruction: Instruction) -> int:
    """Read the r/m operand, memory or an MMX register (REX.B is ignored). Raises Fault."""
    if isinstance(instruction.operand, int):
        return cpu.context.read_mmx(instruction.operand & 7)
    return read_memory(cpu, instruction, 8)
