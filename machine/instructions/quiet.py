"""Watched instructions that change only their operands.

They leave ring, mode, mapping and the set of watched actions unchanged, whether executed here or by Unicorn.
"""

from machine.architecture.decoding import Instruction
from machine.architecture.opcodes import Action

_FLOATING_POINT = (0x9B, *range(0xD8, 0xE0))
_SIMD = (
    *(*range(0x0F10, 0x0F18), *range(0x0F28, 0x0F30), *range(0x0F50, 0x0F80), 0x0FC2, *range(0x0FC4, 0x0FC7)),
    *(*range(0x0FD0, 0x0FFF), 0x0FAE),
)
_GENERAL = (
    0x60,
    0x61,
    0x63,
    0x9E,
    0x9F,
    0xC6,
    0xC7,
    0xC8,
    0xF6,
    0xF7,
    0x0F18,
    0x0FA4,
    0x0FAC,
    0x0FB0,
    0x0FB1,
    0x0FB8,
    0x0FC7,
)
_NEAR_BRANCHES = (*range(0x70, 0x80), 0xC2, 0xC3, *range(0xE0, 0xE4), 0xE8, 0xE9, 0xEB, *range(0x0F80, 0x0F90))
_LAR, _LSL, _MOV_FROM_CR, _MOV_FROM_DR, _RDTSC, _RDMSR, _CPUID = 0x0F02, 0x0F03, 0x0F20, 0x0F21, 0x0F31, 0x0F32, 0x0FA2
_SYSTEM = (_LAR, _LSL, _MOV_FROM_CR, _MOV_FROM_DR, _RDTSC, _RDMSR, _CPUID)
_QUIET = frozenset([*_FLOATING_POINT, *_SIMD, *_GENERAL, *_NEAR_BRANCHES, *_SYSTEM])
_FIRST_OF_LATER_MAPS = 0x0F_3800
_DATA_SEGMENT_LOADS = frozenset([0x07, 0x1F, 0xC4, 0xC5, 0x0FA1, 0x0FA9, 0x0FB4, 0x0FB5])
"""Loads of DS, ES, FS and GS besides MOV."""
_MOV_TO_SEGMENT, _SS = 0x8E, 2
_MOV_TO_CR, _MAPPING_ONLY = 0x0F22, frozenset([2, 3, 8])
_GROUP_5, _NEAR_FORMS = 0xFF, frozenset([2, 4])
_GROUP_6, _VERIFIES = 0x0F00, frozenset([4, 5])
_GROUP_7, _STORES_OF_TABLES, _INVLPG, _REGISTER_FORMS, _RDTSCP = 0x0F01, (0, 1), 7, 0xC0, 0xF9
_UNDEFINED = int(Action.UNDEFINED)


def loads_data_segment(instruction: Instruction) -> bool:
    """Return whether an instruction loads DS, ES, FS or GS, and nothing else that matters outside 64-bit mode."""
    if instruction.action & _UNDEFINED:
        return False
    opcode = instruction.opcode
    return opcode in _DATA_SEGMENT_LOADS or (opcode == _MOV_TO_SEGMENT and instruction.extension != _SS)


def is_quiet(instruction: Instruction) -> bool:
    """Return whether an instruction is quiet. A write to a control register is, if it cannot change the mode."""
    if instruction.action & _UNDEFINED:
        return False
    opcode = instruction.opcode
    return opcode in _QUIET or opcode >= _FIRST_OF_LATER_MAPS or _is_quiet_form(instruction, opcode)


def _is_quiet_form(instruction: Instruction, opcode: int) -> bool:
    if opcode == _MOV_TO_CR:
        return instruction.register in _MAPPING_ONLY
    if opcode == _MOV_TO_SEGMENT or opcode in _DATA_SEGMENT_LOADS:  # in 64-bit mode these segments have no limits
        return instruction.long and loads_data_segment(instruction)
    if opcode == _GROUP_5:
        return instruction.extension in _NEAR_FORMS
    if opcode == _GROUP_6:
        return instruction.extension in _VERIFIES
    if opcode != _GROUP_7:
        return False
    if instruction.modrm >= _REGISTER_FORMS:
        return instruction.modrm == _RDTSCP
    return instruction.extension == _INVLPG or instruction.extension in _STORES_OF_TABLES
