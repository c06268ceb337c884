"""BT, BTS, BTR and BTC of a register (SDM volume 2), where Unicorn must not see them: machine/untranslatable.py."""

from machine.cpu import Cpu
from machine.instructions.operand_access import read_general, read_operand, write_operand
from machine.opcodes import Instruction
from machine.processor_state import DEFAULT_32

_CF = 1
_IMMEDIATE = 0x0FBA
_NUMBER = {0x0FA3: 0, 0x0FAB: 1, 0x0FB3: 2, 0x0FBB: 3}
"""As in the reg field of the immediate forms, which have 4 more: BT, BTS, BTR, BTC."""


def execute_bit_test(cpu: Cpu, instruction: Instruction) -> None:
    """Execute the register form at RIP. Flags other than CF, of which all but ZF are undefined, stay."""
    narrow = instruction.operand_size_prefix
    if not instruction.long and not cpu.registers.cs.flags & DEFAULT_32:
        narrow = not narrow
    size = 8 if instruction.wide else 2 if narrow else 4
    if instruction.opcode == _IMMEDIATE:
        number, index = instruction.extension & 3, instruction.immediate
    else:
        number, index = _NUMBER[instruction.opcode], read_general(cpu, instruction.register, size)
    bit, value = 1 << index % (8 * size), read_operand(cpu, instruction, size)
    if number:
        write_operand(cpu, instruction, (value, value | bit, value & ~bit, value ^ bit)[number], size)
    cpu.rflags = cpu.rflags & ~_CF | (_CF if value & bit else 0)
    cpu.skip(instruction.length)
