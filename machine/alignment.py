"""Alignment checking (SDM volume 3, 6.15, interrupt 17), which Unicorn does not do.

With CR0.AM and RFLAGS.AC set, ring 3 must align its data. That is rare, so it may be slow: the machine goes instruction
by instruction then, and asks here before each.
"""

from machine.accesses import accesses, linear
from machine.control_registers import CR0_AM
from machine.cpu import FLAG_AC, Cpu
from machine.exceptions import AC, Fault

_WHOLE_BLOCK = 16
"""Larger operands, such as FXSAVE's, have rules of their own."""
_LONGEST_WORD = 8


class AlignmentCheck:
    """Knows when accesses are checked, and checks those of the next instruction."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    @property
    def wanted(self) -> bool:
        """Data accesses of the current ring must be aligned."""
        registers = self._cpu.registers
        return bool(registers.cr[0] & CR0_AM and self._cpu.hook.rflags & FLAG_AC) and registers.cpl == 3

    def check(self) -> None:
        """Raise Fault (#AC) if the instruction at RIP would access data that is not aligned."""
        cpu = self._cpu
        for access in accesses(cpu):
            if access.segment == "ss" and access.size > _LONGEST_WORD:  # several words
                size = 8 if cpu.registers.in_64_bit_code else 4
            elif access.size > _WHOLE_BLOCK:
                continue
            else:  # far pointers like 4 or 8 bytes, 80-bit numbers like 8
                size = 1 << access.size.bit_length() - 1
            if linear(cpu.registers, access) % size:
                raise Fault(AC, 0)
