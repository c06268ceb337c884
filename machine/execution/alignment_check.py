"""Alignment checking (SDM volume 3, 6.15, interrupt 17), which Unicorn does not perform.

With CR0.AM and RFLAGS.AC set, ring 3 must align its data. That is rare and may be slow: `Execution` then executes
single instructions and calls `check` before each.
"""

from machine.architecture.control_registers import CR0_AM
from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import AC, Fault
from machine.architecture.opcodes import Action
from machine.architecture.paging import is_canonical
from machine.instructions.accesses import Access, accesses, code_bits, linear
from machine.processor.cpu import FLAG_AC, Cpu

_WHOLE_BLOCK = 16
"""In bytes. Larger operands, such as FXSAVE's, have their own rules."""
_LONGEST_WORD = 8
_PAIRS = frozenset([0x62, 0xC4, 0xC5, 0x0FB2, 0x0FB4, 0x0FB5])
"""BOUND and far pointers."""
_ENVIRONMENTS = frozenset([0xD9, 0xDD])
"""With opcode extensions 4 and 6: FLDENV, FNSTENV, FRSTOR, FNSAVE."""
_FAULT_OTHERWISE = frozenset([0x0FAE, 0x0FC7])
"""FXSAVE, FXRSTOR, CMPXCHG16B: they raise #GP instead."""
_GROUP_5, _MASKED_MOVE = 0xFF, 0x0FF7
_GROUP_7, _STORES_OF_TABLES = 0x0F01, (0, 1)
"""SGDT and SIDT."""
_FAR_RETURNS = frozenset([0xCA, 0xCB, 0xCF])
_POPS_OF_SELECTORS = frozenset([0x07, 0x17, 0x1F, 0x0FA1, 0x0FA9])
_SELECTOR = 2


class AlignmentCheck:
    """The alignment check of one processor."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    @property
    def wanted(self) -> bool:
        """True if data accesses of the current ring must be aligned."""
        registers = self._cpu.registers
        return bool(registers.cr[0] & CR0_AM and self._cpu.hook.rflags & FLAG_AC) and registers.cpl == 3

    def check(self, instruction: Instruction) -> None:
        """Raise Fault (#AC) if `instruction`, the one at RIP, would access misaligned data."""
        cpu = self._cpu
        if instruction.action & Action.ALIGNED:  # an operand of 16 bytes: #GP
            return
        narrow = instruction.operand_size_prefix != (code_bits(cpu.registers) == 16)
        for access in accesses(cpu, instruction):
            size, address = _alignment(instruction, access, narrow=narrow), linear(cpu.registers, access)
            if instruction.opcode == _GROUP_7 and instruction.extension in _STORES_OF_TABLES:  # a limit before a base
                size, address = 8 if instruction.long else 4, address + 2
            if size and address % size and is_canonical(address):
                raise Fault(AC, 0)


def _alignment(instruction: Instruction, access: Access, *, narrow: bool) -> int:
    """Return the required alignment of an access in bytes, or 0 for none (SDM volume 3, table 6-7).

    Args:
        instruction: The instruction.
        access: Its access.
        narrow: The operand size is 16 bits, unless REX.W makes it 64.

    Returns:
        A power of two, or 0.
    """
    opcode, extension = instruction.opcode, instruction.extension
    if opcode in _POPS_OF_SELECTORS:
        return _SELECTOR
    if opcode in _PAIRS or (opcode == _GROUP_5 and extension in (3, 5) and access.segment != "ss"):
        return 2 if narrow and not instruction.wide else 4
    if opcode in _ENVIRONMENTS and extension in (4, 6) and access.size > _WHOLE_BLOCK:
        return 2 if narrow else 4
    if opcode in _FAULT_OTHERWISE and access.size >= _WHOLE_BLOCK:
        return 0
    if opcode == _MASKED_MOVE:
        return _LONGEST_WORD
    if instruction.action & Action.WIDE:
        return _WHOLE_BLOCK
    if access.segment == "ss" and (access.size > _LONGEST_WORD or opcode in _FAR_RETURNS):  # several words
        return 8 if instruction.long and (instruction.wide or opcode not in _FAR_RETURNS) else 2 if narrow else 4
    return 1 << access.size.bit_length() - 1 if access.size <= _WHOLE_BLOCK else 0  # 80-bit numbers like 64-bit ones
