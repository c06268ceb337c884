"""Which exceptions the SSE instruction at RIP raises: where its operands are, and what it does with them.

One row a kind of instruction (SDM volume 2); the arithmetic is in machine/floating_point.py. Left out: DPPS and DPPD.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import reduce
from operator import or_

from machine import floating_point as fp
from machine.cpu import Cpu
from machine.floating_point import DOUBLE, SINGLE, Format, Number, number
from machine.opcodes import Instruction, MemoryOperand
from machine.operands import linear_address, peek
from machine.processor_state import GENERAL_REGISTERS

_PREFIXES = {0x66: 1, 0xF3: 2, 0xF2: 3}
_PACKED_SINGLE, _PACKED_DOUBLE, _SCALAR_SINGLE, _SCALAR_DOUBLE = range(4)
_FORMATS = {
    _PACKED_SINGLE: (SINGLE, 4),
    _PACKED_DOUBLE: (DOUBLE, 2),
    _SCALAR_SINGLE: (SINGLE, 1),
    _SCALAR_DOUBLE: (DOUBLE, 1),
}
"""What a mandatory prefix says: the format, and how many elements."""
_BINARY: dict[int, Callable[[Number, Number, Format, int], int]] = {
    0x0F58: fp.add,
    0x0F59: fp.multiply,
    0x0F5C: fp.subtract,
    0x0F5E: fp.divide,
}
_MINIMUM, _MAXIMUM, _COMPARE, _SQUARE_ROOT = 0x0F5D, 0x0F5F, 0x0FC2, 0x0F51
_UNORDERED, _ORDERED = 0x0F2E, 0x0F2F
_HORIZONTAL_ADD, _HORIZONTAL_SUBTRACT, _ADD_SUBTRACT = 0x0F7C, 0x0F7D, 0x0FD0
_ROUNDS = {0x0F3A08: (SINGLE, 4), 0x0F3A09: (DOUBLE, 2), 0x0F3A0A: (SINGLE, 1), 0x0F3A0B: (DOUBLE, 1)}
_CONVERSIONS = frozenset([0x0F2A, 0x0F2C, 0x0F2D, 0x0F5A, 0x0F5B, 0x0FE6])
_OPCODES = frozenset([*_BINARY, _MINIMUM, _MAXIMUM, _COMPARE, _SQUARE_ROOT, _UNORDERED, _ORDERED]) | frozenset(
    [_HORIZONTAL_ADD, _HORIZONTAL_SUBTRACT, _ADD_SUBTRACT, *_ROUNDS, *_CONVERSIONS]
)
_SIGNALING_PREDICATES = (1, 2, 5, 6)


def exceptions(cpu: Cpu, mxcsr: int) -> int:
    """The flags, as the low bits of MXCSR, of the instruction at RIP: those of all elements together.

    0 for instructions that raise none, and where Unicorn will find a page fault instead.
    """
    instruction = cpu.instruction_at(cpu.linear_rip)
    if instruction is None or instruction.operand is None or instruction.opcode not in _OPCODES:
        return 0
    return _SimdInstruction(cpu, instruction, mxcsr).exceptions()


class _SimdInstruction:
    def __init__(self, cpu: Cpu, instruction: Instruction, mxcsr: int) -> None:
        self._cpu = cpu
        self._instruction = instruction
        self._mxcsr = mxcsr

    # Operands

    def _vector(self, register: int) -> int:
        return self._cpu.read_register(f"XMM{register}")

    def _source(self, size: int) -> int | None:
        """The r/m operand as an integer of `size` bytes; None where Unicorn will find a page fault."""
        operand = self._instruction.operand
        if isinstance(operand, int):
            return self._vector(operand) & (1 << 8 * size) - 1
        assert isinstance(operand, MemoryOperand)
        data = peek(self._cpu, linear_address(self._cpu, self._instruction), size)
        return None if data is None else int.from_bytes(data, "little")

    def _elements(self, bits: int, form: Format, count: int) -> list[Number]:
        mask = (1 << form.width) - 1
        return [number(bits >> form.width * index & mask, form, self._mxcsr) for index in range(count)]

    # Instructions

    def exceptions(self) -> int:
        """The flags of all elements together."""
        opcode = self._instruction.opcode
        kind = max((_PREFIXES.get(prefix, 0) for prefix in self._instruction.prefixes), default=0)
        form, count = _FORMATS[kind]
        if opcode in _ROUNDS:
            form, count = _ROUNDS[opcode]
            return self._round(form, count) if kind == _PACKED_DOUBLE else 0
        if opcode in _CONVERSIONS:
            return self._conversion(kind)
        if opcode in (_UNORDERED, _ORDERED):
            count = 1
        source = self._source(form.width // 8 * count)
        if source is None:
            return 0
        right = self._elements(source, form, count)
        left = self._elements(self._vector(self._instruction.register), form, count)
        found = 0
        for a, b in zip(left, right, strict=True):
            if opcode in _BINARY:
                found |= _BINARY[opcode](a, b, form, self._mxcsr)
            elif opcode in (_MINIMUM, _MAXIMUM):
                found |= fp.compare(a, b, quiet=False)
            elif opcode == _COMPARE:
                found |= fp.compare(a, b, quiet=self._immediate() & 7 not in _SIGNALING_PREDICATES)
            elif opcode in (_UNORDERED, _ORDERED):
                found |= fp.compare(a, b, quiet=opcode == _UNORDERED)
            elif opcode == _SQUARE_ROOT:
                found |= fp.square_root(b)
        if opcode in (_HORIZONTAL_ADD, _HORIZONTAL_SUBTRACT, _ADD_SUBTRACT) and kind in (
            _PACKED_DOUBLE,
            _SCALAR_DOUBLE,
        ):
            found |= self._sse3(DOUBLE if kind == _PACKED_DOUBLE else SINGLE)
        return found

    def _immediate(self) -> int:
        return self._instruction.immediate

    def _sse3(self, form: Format) -> int:
        """HADDPx, HSUBPx, ADDSUBPx: 66H for double, F2H for single."""
        count = 128 // form.width
        source = self._source(16)
        if source is None:
            return 0
        right = self._elements(source, form, count)
        left = self._elements(self._vector(self._instruction.register), form, count)
        found = 0
        if self._instruction.opcode == _ADD_SUBTRACT:
            for index, (a, b) in enumerate(zip(left, right, strict=True)):
                found |= (fp.add if index & 1 else fp.subtract)(a, b, form, self._mxcsr)
            return found
        operation = fp.add if self._instruction.opcode == _HORIZONTAL_ADD else fp.subtract
        for numbers in (left, right):
            for index in range(0, count, 2):
                found |= operation(numbers[index], numbers[index + 1], form, self._mxcsr)
        return found

    def _round(self, form: Format, count: int) -> int:
        """ROUNDxx: the immediate may choose the rounding (bit 2 clear) and suppress precision exceptions (bit 3)."""
        source = self._source(form.width // 8 * count)
        if source is None:
            return 0
        found = 0
        for element in self._elements(source, form, count):
            if element.is_signaling:
                found |= fp.INVALID
            elif element.value.denominator != 1 and not self._immediate() & 8:
                found |= fp.PRECISION
        return found

    def _conversion(self, kind: int) -> int:
        """CVTxx2xx by opcode and mandatory prefix (SDM volume 2)."""
        opcode, wide = self._instruction.opcode, 64 if self._instruction.wide else 32
        if opcode == 0x0F2A:
            return self._from_integers(kind, wide)
        if opcode in (0x0F2C, 0x0F2D):  # MMX forms convert two singles or doubles
            form = SINGLE if kind in (_PACKED_SINGLE, _SCALAR_SINGLE) else DOUBLE
            count = 1 if kind in (_SCALAR_SINGLE, _SCALAR_DOUBLE) else 2
            return self._to_integers(form, count, wide if count == 1 else 32, truncate=opcode == 0x0F2C)
        if opcode == 0x0F5A:
            form, count = _FORMATS[kind]
            count = min(count, 2)
            source = self._source(form.width // 8 * count)
            target = DOUBLE if form is SINGLE else SINGLE
            elements = [] if source is None else self._elements(source, form, count)
            return _all(fp.convert(element, target, self._mxcsr) for element in elements)
        if opcode == 0x0F5B:
            if kind == _PACKED_SINGLE:
                source = self._source(16)
                integers = [] if source is None else [_signed(source >> 32 * n, 32) for n in range(4)]
                return _all(fp.result(Fraction(value), SINGLE, self._mxcsr) for value in integers)
            return self._to_integers(SINGLE, 4, 32, truncate=kind == _SCALAR_SINGLE)
        if kind in (_PACKED_DOUBLE, _SCALAR_DOUBLE):  # CVTTPD2DQ, CVTPD2DQ; CVTDQ2PD is exact
            return self._to_integers(DOUBLE, 2, 32, truncate=kind == _PACKED_DOUBLE)
        return 0

    def _to_integers(
        self,
        form: Format,
        count: int,
        bits: int,
        *,
        truncate: bool,
    ) -> int:
        source = self._source(form.width // 8 * count)
        elements = [] if source is None else self._elements(source, form, count)
        return _all(fp.to_integer(element, bits, self._mxcsr, truncate=truncate) for element in elements)

    def _from_integers(self, kind: int, bits: int) -> int:
        """CVTSI2SS and CVTSI2SD from a general register or memory; the MMX forms of singles may be inexact, too."""
        if kind not in (_SCALAR_SINGLE, _SCALAR_DOUBLE):
            return 0
        operand = self._instruction.operand
        if isinstance(operand, int):
            value: int | None = getattr(self._cpu.registers, GENERAL_REGISTERS[operand])
        else:
            value = self._source(bits // 8)
        form = SINGLE if kind == _SCALAR_SINGLE else DOUBLE
        return 0 if value is None else fp.result(Fraction(_signed(value, bits)), form, self._mxcsr)


def _all(flags: Iterable[int]) -> int:
    return reduce(or_, flags, 0)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value
