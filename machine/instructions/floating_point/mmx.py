"""Effects of MMX instructions on the x87 unit (SDM volume 1, 9.5.1 and 9.6.2) that Unicorn lacks.

They raise pending x87 exceptions, and set the sign and exponent of the destination register to ones. Unicorn sets TOP
and the tags, and computes the result.
"""

from machine.architecture.decoding import Instruction
from machine.architecture.instruction_set import Prefix

_READS_ONLY = frozenset([0x0F2A, 0x0F77, 0x0F7E, 0x0FC5, 0x0FD7, 0x0FE7, 0x0FF7])
"""CVTPI2PS and CVTPI2PD, EMMS, MOVD and MOVQ to r/m, PEXTRW, PMOVMSKB, MOVNTQ, MASKMOVQ."""
_STORES = frozenset([0x0F7E, 0x0F7F, 0x0FE7])
"""MOVD, MOVQ, MOVNTQ."""
_SIZED_BY_REX = frozenset([0x0F6E, 0x0F7E])
"""MOVD, which is MOVQ with REX.W."""
_SHIFTS_BY_IMMEDIATE = frozenset([0x0F71, 0x0F72, 0x0F73])
_MOVQ_STORE, _BETWEEN_XMM_AND_MMX = 0x0F7F, 0x0FD6
_OPERAND_BYTES = {0x0F60: 4, 0x0F61: 4, 0x0F62: 4, 0x0FC4: 2}
"""PUNPCKL and PINSRW. Others have 8, and MOVD has the width of its general register."""


def written_register(instruction: Instruction) -> int | None:
    """Return the MMX register that the instruction writes, 0 to 7, or None."""
    opcode, operand = instruction.opcode, instruction.operand
    if opcode in _READS_ONLY:
        return None
    if opcode == _MOVQ_STORE or opcode in _SHIFTS_BY_IMMEDIATE:
        return operand & 7 if isinstance(operand, int) else None
    if opcode == _BETWEEN_XMM_AND_MMX and instruction.prefix == Prefix.REPEAT:  # MOVQ2DQ
        return None
    return instruction.register & 7


def stores(instruction: Instruction) -> bool:
    """Return whether the instruction writes its memory operand."""
    return instruction.opcode in _STORES


def operand_bytes(instruction: Instruction) -> int:
    """Return the size of its memory operand in bytes."""
    if instruction.opcode in _SIZED_BY_REX:
        return 8 if instruction.wide else 4
    return _OPERAND_BYTES.get(instruction.opcode, 8)
