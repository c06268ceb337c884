"""The stack, for instructions that push or pop more than one word (SDM volume 1, 6.2).

A complete frame is checked before any of it is written: a faulting instruction changes nothing.
"""

import struct
from collections.abc import Sequence

import msgspec

from machine.architecture.control_registers import CR0_AM
from machine.architecture.descriptors import Segment
from machine.architecture.exceptions import AC, SS, Fault
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import DEFAULT_32
from machine.bus.ram import PAGE_SIZE
from machine.bus.writer import GATE_CALL
from machine.instructions.memory import OperandMemory
from machine.processor.cpu import FLAG_AC, Cpu

_EXPAND_DOWN = 1 << 10
_ALL = 2**64 - 1
_LETTERS = {2: "H", 4: "I", 8: "Q"}
WIDTH_MASKS = {2: 0xFFFF, 4: 0xFFFF_FFFF, 8: _ALL}
"""The largest operand value, by size in bytes."""


class Stack(msgspec.Struct, frozen=True):
    """A stack segment, and the rights of accesses to it."""

    base: int
    limit: int
    mask: int
    """The largest stack pointer, of 16, 32 or 64 bits."""
    expand_down: bool
    user: bool
    error: int = 0
    """Error code of #SS."""
    aligned: bool = False
    """Words must be aligned (#AC)."""
    inner: bool = False
    """The stack of a ring about to be entered, on which the processor itself pushes with supervisor rights."""

    def address(self, pointer: int, size: int) -> int:
        """Return the linear address of `size` bytes at a stack pointer. Raises Fault: #SS outside the segment."""
        if self.mask == _ALL:
            if not (is_canonical(pointer) and is_canonical(pointer + size - 1 & _ALL)):
                raise Fault(SS, self.error)
            return pointer
        last = pointer + size - 1
        if last > self.mask or (pointer <= self.limit if self.expand_down else last > self.limit):
            raise Fault(SS, self.error)
        return self.base + pointer & 0xFFFF_FFFF

    def pointer(self, previous: int, value: int) -> int:
        """Return the new RSP for the stack pointer `value`: a 16-bit one keeps bits 31:16 of `previous`."""
        if self.mask == 0xFFFF:
            return previous & 0xFFFF_0000 | value & 0xFFFF
        return value & self.mask


FLAT_SUPERVISOR = Stack(0, _ALL, _ALL, expand_down=False, user=False)
FLAT_USER = Stack(0, _ALL, _ALL, expand_down=False, user=True)
_FLAT_ALIGNED = Stack(0, _ALL, _ALL, expand_down=False, user=True, aligned=True)
FLAT_INNER = Stack(0, _ALL, _ALL, expand_down=False, user=False, inner=True)


def alignment_checked(cpu: Cpu) -> bool:
    """Return whether data must be aligned now (SDM volume 3, 6.15, interrupt 17)."""
    registers = cpu.registers
    return registers.cpl == 3 and bool(registers.cr[0] & CR0_AM and cpu.rflags & FLAG_AC)


def flat_stack(cpu: Cpu) -> Stack:
    """Return the 64-bit mode stack, with the rights of the current ring."""
    if cpu.registers.cpl != 3:
        return FLAT_SUPERVISOR
    return _FLAT_ALIGNED if alignment_checked(cpu) else FLAT_USER


def current_stack(cpu: Cpu) -> Stack:
    """Return the current stack, with the rights of the current ring."""
    registers = cpu.registers
    if registers.in_64_bit_code:
        return flat_stack(cpu)
    user, ss = registers.cpl == 3, registers.ss
    mask = 0xFFFF_FFFF if ss.flags & DEFAULT_32 else 0xFFFF
    return Stack(ss.base, ss.limit, mask, bool(ss.flags & _EXPAND_DOWN), user, aligned=alignment_checked(cpu))


def inner_stack(segment: Segment, error: int) -> Stack:
    """Return the stack of a more privileged ring, on which the processor itself pushes."""
    mask = 0xFFFF_FFFF if segment.default_32 else 0xFFFF
    return Stack(segment.base, segment.limit, mask, segment.conforming, user=False, error=error, inner=True)


def pop(memory: OperandMemory, stack: Stack, pointer: int, size: int, count: int) -> tuple[int, ...]:
    """Read `count` words of `size` bytes from the stack pointer upwards. Raises Fault."""
    pointer &= stack.mask
    length = size * count
    if count > 1 and pointer + length - 1 > stack.mask and stack.mask != _ALL:  # a 16-bit stack pointer wraps
        return tuple(pop(memory, stack, pointer + size * index, size, 1)[0] for index in range(count))
    address = stack.address(pointer, length)
    if stack.aligned and address % size:
        raise Fault(AC, 0)
    data = memory.read(address, length, user=stack.user, stack=True)
    return struct.unpack(f"<{count}{_LETTERS[size]}", data)


class Frame:
    """Words to be pushed, in that order. `pointer` is the stack pointer after the last one."""

    def __init__(self, stack: Stack, pointer: int, words: Sequence[int], size: int) -> None:
        """Compute the addresses. Raises Fault (#SS) if they exceed the segment."""
        self._stack, self._size = stack, size
        self._words = [word & WIDTH_MASKS[size] for word in words]
        pointers = [pointer - size * (index + 1) & stack.mask for index in range(len(words))]
        self._addresses = [stack.address(at, size) for at in pointers]
        self.pointer = pointers[-1]
        first, last = self._addresses[0] + size - 1, self._addresses[-1]
        self._in_one_page = first // PAGE_SIZE == last // PAGE_SIZE and first - last == size * len(words) - 1

    def check(self, cpu: Cpu, memory: OperandMemory) -> None:
        """Raise the fault (#AC, #PF) of the pushes."""
        size = self._size
        if self._in_one_page and not (self._stack.aligned or self._stack.inner):
            memory.probe(self._addresses[0], size, user=self._stack.user, write=True, stack=True)
            return
        for address in self._addresses:
            if self._stack.aligned and address % size:
                raise Fault(AC, 0)
            if not self._stack.inner:
                memory.probe(address, size, user=self._stack.user, write=True, stack=True)
                continue
            for end in (address + size - 1, address):
                cpu.memory.translate(end, 0, write=True, user=False)

    def push(self, cpu: Cpu, memory: OperandMemory) -> None:
        """Write all words, after `check`."""
        if self._in_one_page and not self._stack.inner:
            data = struct.pack(f"<{len(self._words)}{_LETTERS[self._size]}", *reversed(self._words))
            memory.write(self._addresses[-1], data, user=self._stack.user, stack=True)
            return
        for address, word in zip(self._addresses, self._words, strict=True):
            data = word.to_bytes(self._size, "little")
            if self._stack.inner:
                cpu.memory.push(address, data, unit=self._size, by=GATE_CALL)
            else:
                memory.write(address, data, user=self._stack.user, stack=True)
