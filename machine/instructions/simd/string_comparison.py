"""PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM volume 2, 4.1).

The first operand is a register, the second a register or memory. Bits of the immediate: 0 words instead of bytes; 1
signed; 3:2 the aggregation; 5:4 the polarity; 6 the highest index instead of the lowest, or a mask of whole elements.
"""

import struct
from collections.abc import Callable

import msgspec

from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.instructions.disposition import Done
from machine.instructions.operand_access import read_vector_operand, require_sse
from machine.processor.cpu import Cpu

_ESTRM, _ESTRI, _ISTRM, _ISTRI = range(0x0F3A60, 0x0F3A64)
_CF, _ZF, _SF, _OF = 1, 1 << 6, 1 << 7, 1 << 11
_VECTOR_BYTES = 16
Elements = tuple[int, ...]


class StringComparison(msgspec.Struct, frozen=True):
    """The result of a string comparison: the index, the mask, and OF, SF, ZF, CF (AF and PF are 0)."""

    index: int
    mask: int
    status_flags: int


def explicit_length(register: int, *, wide: bool, words: bool) -> int:
    """Return the length in EAX or EDX, or in RAX or RDX if `wide`: the absolute value, at most the element count."""
    bits = 64 if wide else 32
    value = register & (1 << bits) - 1
    return min(value if value < 1 << bits - 1 else (1 << bits) - value, _VECTOR_BYTES >> words)


def implicit_length(vector: int, *, words: bool) -> int:
    """Return the number of elements before the first zero."""
    elements = _elements(vector, words=words, signed=False)
    return elements.index(0) if 0 in elements else len(elements)


def compare(first: int, first_length: int, second: int, second_length: int, immediate: int) -> StringComparison:
    """Compare two strings in vectors."""
    words = bool(immediate & 1)
    a = _elements(first, words=words, signed=bool(immediate & 2))[:first_length]
    b = _elements(second, words=words, signed=bool(immediate & 2))[:second_length]
    count = _VECTOR_BYTES >> words
    found = _AGGREGATIONS[immediate >> 2 & 3](a, b, count)
    if immediate & 0x10:  # negative polarity; with bit 5 for valid elements of the second string only
        found ^= (1 << (second_length if immediate & 0x20 else count)) - 1
    flags = (_CF if found else 0) | (_OF if found & 1 else 0)
    flags |= (_ZF if second_length < count else 0) | (_SF if first_length < count else 0)
    from_the_end = immediate & 0x40
    chosen = found if from_the_end else found & -found
    index = chosen.bit_length() - 1 if found else count
    return StringComparison(index, _expanded(found, words=words) if from_the_end else found, flags)


def _elements(vector: int, *, words: bool, signed: bool) -> tuple[int, ...]:
    return _ELEMENTS[words, signed].unpack(vector.to_bytes(_VECTOR_BYTES, "little"))


_ELEMENTS = {
    **{(False, False): struct.Struct("16B"), (False, True): struct.Struct("16b")},
    **{(True, False): struct.Struct("<8H"), (True, True): struct.Struct("<8h")},
}
_LANES = tuple(1 << lane for lane in range(_VECTOR_BYTES))


def _expanded(found: int, *, words: bool) -> int:
    width = 16 if words else 8
    return sum([(1 << width) - 1 << width * lane for lane in range(128 // width) if found >> lane & 1])


# Aggregations: the matching elements of the second string, as bits. A vector has `count` elements.


def _equal_any(a: Elements, b: Elements, _count: int) -> int:
    wanted = frozenset(a)
    return sum([bit for bit, element in zip(_LANES, b, strict=False) if element in wanted])


def _ranges(a: Elements, b: Elements, _count: int) -> int:
    """Match elements in any range; a range without an upper bound matches none."""
    least = min(b, default=0)
    members = 0  # as bits, from `least` on
    for low, high in zip(a[::2], a[1::2], strict=False):
        if high >= low and high >= least:
            members |= (2 << high - least) - (1 << max(low - least, 0))
    return sum([bit for bit, element in zip(_LANES, b, strict=False) if members >> element - least & 1])


def _equal_each(a: Elements, b: Elements, count: int) -> int:
    """Match equal elements at the same position; positions after the end of both strings match."""
    both = sum([bit for bit, x, y in zip(_LANES, a, b, strict=False) if x == y])
    return both | (1 << count) - (1 << max(len(a), len(b)))


def _equal_ordered(a: Elements, b: Elements, count: int) -> int:
    """Match positions at which the first string begins in the second; at the end of the vector a prefix suffices."""
    length = len(a)
    return sum([_LANES[lane] for lane in range(count) if b[lane : lane + length] == a[: count - lane]])


_AGGREGATIONS: tuple[Callable[[Elements, Elements, int], int], ...] = (
    _equal_any,
    _ranges,
    _equal_each,
    _equal_ordered,
)


def execute_string_comparison(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP. The memory operand needs no alignment. Raises Fault."""
    require_sse(cpu)
    context, registers, opcode, immediate = cpu.context, cpu.registers, instruction.opcode, instruction.immediate
    second = read_vector_operand(cpu, instruction, _VECTOR_BYTES, aligned=False)
    first, words = context.read_vector(instruction.register), bool(immediate & 1)
    if opcode in (_ESTRM, _ESTRI):
        first_length = explicit_length(registers.rax, wide=instruction.wide, words=words)
        second_length = explicit_length(registers.rdx, wide=instruction.wide, words=words)
    else:
        first_length, second_length = (implicit_length(vector, words=words) for vector in (first, second))
    found = compare(first, first_length, second, second_length, immediate)
    if opcode in (_ESTRI, _ISTRI):
        registers.rcx = found.index
    else:
        context.write_vector(0, found.mask)
    cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | found.status_flags
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys([_ESTRM, _ESTRI, _ISTRM, _ISTRI], execute_string_comparison)
