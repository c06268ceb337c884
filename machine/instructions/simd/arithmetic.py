"""The SSE floating-point instructions, each as a function of its operands (SDM volume 2).

Unicorn executes nearly all of them. machine/instructions/simd/execution.py uses these functions for those that Unicorn
executes wrongly, and for all of them while an exception is unmasked or results are flushed to zero.
"""

import struct
from collections.abc import Callable
from enum import Enum, auto
from math import sqrt

import msgspec

from machine.architecture.instruction_set import Prefix
from machine.instructions.simd import numbers
from machine.instructions.simd.dot_product import dot_product
from machine.instructions.simd.numbers import DOUBLE, SINGLE, Format, Result

NO_PREFIX, OPERAND_SIZE, REPEAT, REPEAT_NOT = Prefix
"""Mandatory prefixes: packed single, packed double, scalar single, scalar double."""
_CF, _PF, _ZF = 1, 1 << 2, 1 << 6
Evaluate = Callable[[int, int, int, int], Result]
"""A function of destination, source, immediate and MXCSR that returns the new destination and MXCSR flags."""


class Place(Enum):
    """The kind of register of an operand."""

    VECTOR = auto()
    MMX = auto()
    GENERAL = auto()
    STATUS_FLAGS = auto()
    """OF, SF, ZF, AF, PF and CF; only as a destination."""


class Operation(msgspec.Struct, frozen=True):
    """A form of an instruction. The source is a register or memory, the destination a register."""

    evaluate: Evaluate
    source_bytes: int
    source: Place = Place.VECTOR
    destination: Place = Place.VECTOR
    has_immediate: bool = False


_LANES = {SINGLE.width: struct.Struct("<4I"), DOUBLE.width: struct.Struct("<2Q")}


def _lanes(value: int, form: Format, count: int) -> tuple[int, ...]:
    return _LANES[form.width].unpack(value.to_bytes(16, "little"))[:count]


def _joined(results: list[Result], width: int, mxcsr: int) -> Result:
    value = flags = 0
    for lane, (bits, raised) in enumerate(results):
        value |= bits << width * lane
        flags |= raised
    return value, numbers.flags_set(flags, mxcsr)


def _merged(destination: int, value: int, bits: int) -> int:
    """Return a vector with its low `bits` bits replaced by `value`."""
    return destination >> bits << bits | value


Binary = Callable[[int, int, Format, int], Result]


def _lane_by_lane(operation: Binary, form: Format, count: int) -> Evaluate:
    mask = (1 << form.width) - 1

    def evaluate_one(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        value, raised = operation(left & mask, right & mask, form, mxcsr)
        return left & ~mask | value, numbers.flags_set(raised, mxcsr)

    shifts = range(0, form.width * count, form.width)

    def evaluate(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        value = flags = 0
        for shift in shifts:
            bits, raised = operation(left >> shift & mask, right >> shift & mask, form, mxcsr)
            value |= bits << shift
            flags |= raised
        return value, numbers.flags_set(flags, mxcsr)

    return evaluate_one if count == 1 else evaluate


def _root(_a: int, b: int, form: Format, mxcsr: int) -> Result:
    return numbers.square_root(b, form, mxcsr)


_SINGLE_NUMBER, _SINGLE_BITS = struct.Struct("<f"), struct.Struct("<I")
_SMALLEST_NORMAL, _INVERSE_IS_NORMAL = 1 << SINGLE.fraction, 253 << SINGLE.fraction


def _number(bits: int) -> float:
    """Convert single to double, whose quotients and roots remain correct when rounded to single: 53 > 2 * 24 + 1."""
    value: float = _SINGLE_NUMBER.unpack(_SINGLE_BITS.pack(bits))[0]
    return value


def _bits(number: float) -> int:
    """Round a double to a single, and return its bits."""
    bits: int = _SINGLE_BITS.unpack(_SINGLE_NUMBER.pack(number))[0]
    return bits


def _reciprocal(_a: int, b: int, form: Format, _mxcsr: int) -> Result:
    """Evaluate RCP: no exceptions, rounded to nearest, denormals are zeros. The low bits are undefined."""
    if _SMALLEST_NORMAL <= b & ~form.sign < _INVERSE_IS_NORMAL:
        return _bits(1.0 / _number(b)), 0
    return numbers.divide(form.bias << form.fraction, b, form, _APPROXIMATION)[0], 0


def _reciprocal_root(_a: int, b: int, form: Format, _mxcsr: int) -> Result:
    """Evaluate RSQRT, with the rules of RCP."""
    if _SMALLEST_NORMAL <= b < form.infinity:
        return _bits(1.0 / _number(_bits(sqrt(_number(b))))), 0
    root, _ = numbers.square_root(b, form, _APPROXIMATION)
    return numbers.divide(form.bias << form.fraction, root, form, _APPROXIMATION)[0], 0


_APPROXIMATION = 0x1F80 | numbers.DENORMALS_ARE_ZEROS | numbers.FLUSH_TO_ZERO
_BINARY: dict[int, Binary] = {
    0x0F51: _root,
    0x0F58: numbers.add,
    0x0F59: numbers.multiply,
    0x0F5C: numbers.subtract,
    0x0F5D: numbers.smaller,
    0x0F5E: numbers.divide,
    0x0F5F: numbers.larger,
}
_APPROXIMATE: dict[int, Binary] = {0x0F52: _reciprocal_root, 0x0F53: _reciprocal}


def _comparison(form: Format, count: int) -> Evaluate:
    """Return CMPxx: the predicate is in bits 2:0 of the immediate, and the other bits are ignored."""

    def evaluate(left: int, right: int, immediate: int, mxcsr: int) -> Result:
        predicate, ones = immediate & 3, (1 << form.width) - 1
        results = []
        for a, b in zip(_lanes(left, form, count), _lanes(right, form, count), strict=True):
            order, flags = numbers.compare(a, b, form, mxcsr, quiet=predicate in (0, 3))
            holds = (order == 0, order == -1, order in (-1, 0), order is None)[predicate]
            results.append((ones if holds != bool(immediate & 4) else 0, flags))
        value, flags = _joined(results, form.width, mxcsr)
        return _merged(left, value, form.width * count), flags

    return evaluate


def _status_flags(form: Format, *, quiet: bool) -> Evaluate:
    """Return UCOMISx (`quiet`) or COMISx."""

    def evaluate(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        mask = (1 << form.width) - 1
        order, flags = numbers.compare(left & mask, right & mask, form, mxcsr, quiet=quiet)
        return {None: _ZF | _PF | _CF, 0: _ZF, -1: _CF, 1: 0}[order], flags

    return evaluate


def _horizontal(operation: Binary, form: Format) -> Evaluate:
    count = 128 // form.width

    def evaluate(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        found = _lanes(left, form, count) + _lanes(right, form, count)
        pairs = zip(found[::2], found[1::2], strict=True)
        return _joined([operation(a, b, form, mxcsr) for a, b in pairs], form.width, mxcsr)

    return evaluate


def _alternating(form: Format) -> Evaluate:
    """Return ADDSUBPx: even lanes are subtracted, odd lanes added."""
    count = 128 // form.width

    def evaluate(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        pairs = enumerate(zip(_lanes(left, form, count), _lanes(right, form, count), strict=True))
        found = [(numbers.add if lane & 1 else numbers.subtract)(a, b, form, mxcsr) for lane, (a, b) in pairs]
        return _joined(found, form.width, mxcsr)

    return evaluate


def _integral(form: Format, count: int) -> Evaluate:
    """Return ROUNDxx: immediate bits 1:0 are the mode unless bit 2 selects MXCSR's; bit 3 suppresses PE."""

    def evaluate(left: int, right: int, immediate: int, mxcsr: int) -> Result:
        mode = mxcsr >> 13 & 3 if immediate & 4 else immediate & 3
        found = [numbers.to_integral(a, form, mode, mxcsr) for a in _lanes(right, form, count)]
        value, flags = _joined(found, form.width, mxcsr)
        return _merged(left, value, form.width * count), flags & ~(numbers.PRECISION if immediate & 8 else 0)

    return evaluate


def _to_integers(form: Format, count: int, bits: int, *, truncate: bool) -> Evaluate:
    def evaluate(_left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        lanes = _lanes(right, form, count)
        return _joined([numbers.to_integer(a, form, bits, mxcsr, truncate=truncate) for a in lanes], bits, mxcsr)

    return evaluate


def _from_integers(form: Format, count: int, bits: int, kept_from: int) -> Evaluate:
    """Return CVTxx from integers of `bits` bits; the destination's bits from `kept_from` on are kept."""

    def evaluate(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        values = [right >> bits * lane & (1 << bits) - 1 for lane in range(count)]
        signed = [value - (value >> bits - 1 << bits) for value in values]
        value, flags = _joined([numbers.from_integer(each, form, mxcsr) for each in signed], form.width, mxcsr)
        return _merged(left, value, kept_from), flags

    return evaluate


def _conversion(source: Format, target: Format, count: int, kept_from: int) -> Evaluate:
    def evaluate(left: int, right: int, _immediate: int, mxcsr: int) -> Result:
        found = [numbers.convert(a, source, target, mxcsr) for a in _lanes(right, source, count)]
        value, flags = _joined(found, target.width, mxcsr)
        return _merged(left, value, kept_from), flags

    return evaluate


def _dot_product(form: Format) -> Evaluate:
    def evaluate(left: int, right: int, immediate: int, mxcsr: int) -> Result:
        count = 128 // form.width
        return dot_product(_lanes(left, form, count), _lanes(right, form, count), form, immediate, mxcsr)

    return evaluate


_FORMS = {
    NO_PREFIX: (SINGLE, 4),
    OPERAND_SIZE: (DOUBLE, 2),
    REPEAT: (SINGLE, 1),
    REPEAT_NOT: (DOUBLE, 1),
}


def _arithmetic() -> dict[tuple[int, Prefix], Operation]:
    found: dict[tuple[int, Prefix], Operation] = {}
    for prefix, (form, count) in _FORMS.items():
        size = form.width // 8 * count
        for opcode, operation in _BINARY.items():
            found[opcode, prefix] = Operation(_lane_by_lane(operation, form, count), size)
        if form is SINGLE:
            for opcode, operation in _APPROXIMATE.items():
                found[opcode, prefix] = Operation(_lane_by_lane(operation, form, count), size)
        found[0x0FC2, prefix] = Operation(_comparison(form, count), size, has_immediate=True)
    for prefix, form in ((NO_PREFIX, SINGLE), (OPERAND_SIZE, DOUBLE)):
        for opcode in (0x0F2E, 0x0F2F):
            evaluate = _status_flags(form, quiet=opcode == 0x0F2E)
            found[opcode, prefix] = Operation(evaluate, form.width // 8, destination=Place.STATUS_FLAGS)
    for prefix, form in ((REPEAT_NOT, SINGLE), (OPERAND_SIZE, DOUBLE)):
        found[0x0F7C, prefix] = Operation(_horizontal(numbers.add, form), 16)
        found[0x0F7D, prefix] = Operation(_horizontal(numbers.subtract, form), 16)
        found[0x0FD0, prefix] = Operation(_alternating(form), 16)
    for opcode, (form, count) in enumerate(((SINGLE, 4), (DOUBLE, 2), (SINGLE, 1), (DOUBLE, 1)), 0x0F3A08):
        size = form.width // 8 * count
        found[opcode, OPERAND_SIZE] = Operation(_integral(form, count), size, has_immediate=True)
    found[0x0F3A40, OPERAND_SIZE] = Operation(_dot_product(SINGLE), 16, has_immediate=True)
    found[0x0F3A41, OPERAND_SIZE] = Operation(_dot_product(DOUBLE), 16, has_immediate=True)
    return found


def _conversions() -> dict[tuple[int, Prefix], Operation]:
    found: dict[tuple[int, Prefix], Operation] = {
        (0x0F2A, NO_PREFIX): Operation(_from_integers(SINGLE, 2, 32, 64), 8, Place.MMX),
        (0x0F2A, OPERAND_SIZE): Operation(_from_integers(DOUBLE, 2, 32, 128), 8, Place.MMX),
        (0x0F5A, NO_PREFIX): Operation(_conversion(SINGLE, DOUBLE, 2, 128), 8),
        (0x0F5A, OPERAND_SIZE): Operation(_conversion(DOUBLE, SINGLE, 2, 128), 16),
        (0x0F5A, REPEAT): Operation(_conversion(SINGLE, DOUBLE, 1, 64), 4),
        (0x0F5A, REPEAT_NOT): Operation(_conversion(DOUBLE, SINGLE, 1, 32), 8),
        (0x0F5B, NO_PREFIX): Operation(_from_integers(SINGLE, 4, 32, 128), 16),
        (0x0F5B, OPERAND_SIZE): Operation(_to_integers(SINGLE, 4, 32, truncate=False), 16),
        (0x0F5B, REPEAT): Operation(_to_integers(SINGLE, 4, 32, truncate=True), 16),
        (0x0FE6, REPEAT): Operation(_from_integers(DOUBLE, 2, 32, 128), 8),
        (0x0FE6, OPERAND_SIZE): Operation(_to_integers(DOUBLE, 2, 32, truncate=True), 16),
        (0x0FE6, REPEAT_NOT): Operation(_to_integers(DOUBLE, 2, 32, truncate=False), 16),
    }
    for opcode, truncate in ((0x0F2C, True), (0x0F2D, False)):
        for prefix, form in ((NO_PREFIX, SINGLE), (OPERAND_SIZE, DOUBLE)):
            evaluate = _to_integers(form, 2, 32, truncate=truncate)
            found[opcode, prefix] = Operation(evaluate, form.width // 4, destination=Place.MMX)
    return found


def _general(bits: int) -> dict[tuple[int, Prefix], Operation]:
    """Return the conversions with a general register of `bits` bits: 64 with REX.W."""
    found: dict[tuple[int, Prefix], Operation] = {}
    for prefix, form in ((REPEAT, SINGLE), (REPEAT_NOT, DOUBLE)):
        found[0x0F2A, prefix] = Operation(_from_integers(form, 1, bits, form.width), bits // 8, Place.GENERAL)
        for opcode, truncate in ((0x0F2C, True), (0x0F2D, False)):
            evaluate = _to_integers(form, 1, bits, truncate=truncate)
            found[opcode, prefix] = Operation(evaluate, form.width // 8, destination=Place.GENERAL)
    return found


_NARROW = _arithmetic() | _conversions() | _general(32)
OPERATIONS = (_NARROW, _NARROW | _general(64))
"""By REX.W, then by opcode and mandatory prefix."""
