"""Alignment checking (SDM volume 3, 6.15, interrupt 17), which Unicorn does not do.

With CR0.AM and RFLAGS.AC set, ring 3 must align its data. That is rare, so it may be slow: the machine goes instruction
by instruction then, and asks here before each. Instructions are decoded by capstone, imported when first needed.
"""

from functools import cache
from typing import Any

from machine.control_registers import CR0_AM
from machine.cpu import FLAG_AC, Cpu
from machine.exceptions import AC, Fault

_PUSHES = frozenset("push call pushf pushfd pushfq pushaw pushal enter".split())
_POPS = frozenset("pop ret retf retfq iret iretd iretq popf popfd popfq popaw popal leave".split())
_REPEATS = frozenset([0xF2, 0xF3])
_NO_ACCESS = frozenset(["lea", "nop", "prefetch", "prefetchw", "prefetcht0", "prefetcht1", "prefetcht2", "prefetchnta"])
_WHOLE_BLOCK = 16
"""Larger operands, such as FXSAVE's, have rules of their own."""


@cache
def _decoder(long: bool) -> Any:
    import capstone  # noqa: PLC0415 - takes longer to import than a small kernel to boot

    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64 if long else capstone.CS_MODE_32)
    decoder.detail = True
    return decoder


class AlignmentCheck:
    """Tells whether accesses are checked now, and checks those of the next instruction."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    @property
    def wanted(self) -> bool:
        """Whether data accesses of the current ring must be aligned."""
        registers = self._cpu.registers
        return bool(registers.cr[0] & CR0_AM and self._cpu.hook.rflags & FLAG_AC) and registers.cpl == 3

    def check(self) -> None:
        """Raise Fault (#AC) if the instruction at RIP would access data that is not aligned."""
        for address, size in self.accesses():
            if address % size:
                raise Fault(AC, 0)

    def accesses(self) -> list[tuple[int, int]]:
        """Linear address and alignment in bytes of each data access of the instruction at RIP."""
        cpu, registers = self._cpu, self._cpu.registers
        long = registers.in_64_bit_code
        decoder = _decoder(long)
        found = next(decoder.disasm(cpu.code_at(registers.rip), registers.rip, 1), None)
        if found is None:
            return []
        if found.prefix[0] in _REPEATS and not self._count(found):
            return []
        result = []
        name = found.mnemonic.split()[-1]
        if name not in _NO_ACCESS:
            for operand in found.operands:
                if operand.type == _OP_MEM and operand.size <= _WHOLE_BLOCK:
                    size = 1 << operand.size.bit_length() - 1  # far pointers like 4 or 8 bytes, 80-bit numbers like 8
                    result.append((self._address(found, operand.mem), size))
        word = 2 if 0x66 in found.prefix else 8 if long else 4
        base = 0 if long else registers.ss.base
        if name in _PUSHES:
            result.append((registers.rsp + base - word & 2**64 - 1, word))
        elif name in _POPS:
            at = registers.rbp if name == "leave" else registers.rsp
            result.append((at + base & 2**64 - 1, word))
        return result

    def _count(self, found: Any) -> int:
        """RCX as a repeated string instruction uses it; 1 for others with such a prefix."""
        if not any(word.startswith("rep") for word in found.mnemonic.split()):
            return 1
        bits = {2: 16, 4: 32}.get(found.addr_size, 64)
        return self._cpu.registers.rcx & (1 << bits) - 1

    def _address(self, found: Any, memory: Any) -> int:
        """The linear address of a memory operand."""
        registers = self._cpu.registers
        address = memory.disp
        for number, scale in ((memory.base, 1), (memory.index, memory.scale)):
            if number:
                address += self._register(found, found.reg_name(number)) * scale
        long = registers.in_64_bit_code
        address &= (1 << 8 * found.addr_size) - 1
        on_stack = memory.base and found.reg_name(memory.base) in ("esp", "ebp", "bp")
        segment = found.reg_name(memory.segment) if memory.segment else "ss" if on_stack else "ds"
        if long and segment not in ("fs", "gs"):
            return int(address) & 2**64 - 1
        mask = 2**64 - 1 if long else 2**32 - 1
        return int(address + getattr(registers, segment).base) & mask

    def _register(self, found: Any, name: str) -> int:
        registers = self._cpu.registers
        if name in ("rip", "eip"):
            return registers.rip + int(found.size)
        if name in ("eiz", "riz"):
            return 0
        if name.startswith("e"):
            return int(getattr(registers, f"r{name[1:]}")) & 2**32 - 1
        if name.endswith("d"):
            return int(getattr(registers, name[:-1])) & 2**32 - 1
        if name in _NARROW:
            return int(getattr(registers, f"r{name}")) & 0xFFFF
        return int(getattr(registers, name))


_NARROW = frozenset(["bx", "bp", "si", "di"])
_OP_MEM = 3  # capstone.x86.X86_OP_MEM, without importing it
