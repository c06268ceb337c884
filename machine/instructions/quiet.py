"""Instructions that the machine looks at, and that change nothing but their operands.

Neither ring, mode and mapping nor what the instruction hook has to watch is another after one, whether it was executed
here or by Unicorn.
"""

from machine.opcodes import Action, Instruction

_FLOATING_POINT = (0x9B, *range(0xD8, 0xE0))
_SIMD = (
    *(*range(0x0F10, 0x0F18), *range(0x0F28, 0x0F30), *range(0x0F50, 0x0F80), 0x0FC2, *range(0x0FC4, 0x0FC7)),
    *(*range(0x0FD0, 0x0FFF), 0x0FAE),
)
_BIT_MANIPULATION = (0x0FB0, 0x0FB1, 0x0FB8)
_MOV_FROM_CR, _MOV_TO_CR, _RDMSR, _CPUID = 0x0F20, 0x0F22, 0x0F32, 0x0FA2
_QUIET = frozenset([*_FLOATING_POINT, *_SIMD, *_BIT_MANIPULATION, _MOV_FROM_CR, _RDMSR, _CPUID])
_FIRST_OF_LATER_MAPS = 0x0F_3800
_MAPPING_ONLY = frozenset([2, 3, 8])
_GROUP_7, _INVLPG, _REGISTER_FORMS = 0x0F01, 7, 0xC0
_UNDEFINED = int(Action.UNDEFINED)


def is_quiet(instruction: Instruction) -> bool:
    """Tell a quiet instruction. Of the writes to control registers those are that do not change the mode."""
    opcode = instruction.opcode
    if instruction.action & _UNDEFINED:
        return False
    if opcode == _MOV_TO_CR:
        return instruction.register in _MAPPING_ONLY
    if opcode == _GROUP_7:
        return instruction.extension == _INVLPG and instruction.modrm < _REGISTER_FORMS
    return opcode in _QUIET or opcode >= _FIRST_OF_LATER_MAPS
