"""Instructions that Unicorn gets wrong only for some operands. The instruction hook stops before them.

The same rules are in native/unusual_operands.h. They are for instructions whose `Action` is FLOATS or LOOK.
"""

from collections.abc import Callable
from typing import Protocol

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.instruction_set import Prefix
from machine.architecture.opcodes import Action
from machine.architecture.paging import is_canonical

_DENORMAL, _PRECISION, _DENORMALS_ARE_ZEROS, _FLUSH_TO_ZERO = 1 << 1, 1 << 5, 1 << 6, 1 << 15
_EXCEPTIONS, _MASKS = 0x3F, 7
_FLOATS = int(Action.FLOATS)
_ROUNDS = range(0x0F3A08, 0x0F3A0C)
_ROOT, _CONVERSION, _COMPARISON = 0x0F51, 0x0F5A, 0x0FC2
_ARITHMETIC = frozenset([0x0F58, 0x0F59, 0x0F5C, 0x0F5E])
_MINIMUM_MAXIMUM = frozenset([0x0F5D, 0x0F5F])
_STATUS = frozenset([0x0F2E, 0x0F2F])
_HORIZONTAL, _ALTERNATING = frozenset([0x0F7C, 0x0F7D]), 0x0FD0
_ONE_OPERAND = frozenset([_ROOT, _CONVERSION])
_PORT_STRINGS, _AH, _MOV_IMMEDIATE, _NEAR_JUMPS = (
    range(0x6C, 0x70),
    (0x9E, 0x9F),
    (0xC6, 0xC7),
    range(0x0F80, 0x0F90),
)
_CALL, _INDIRECT, _INDIRECT_CALL = 0xE8, 0xFF, 2
_RETURN, _NEGATIONS, _DOUBLE_SHIFTS = 0xC2, (0xF6, 0xF7), (0x0FA4, 0x0FAC)
_CMPXCHG, _POPCNT, _VEX, _BZHI_PDEP, _BEXTR = 0x0FB1, 0x0FB8, 0xC43800, 0xC438F5, 0xC438F7
_OVERWRITING = frozenset([0x0F3801, 0x0F3802, 0x0F3803, 0x0F3805, 0x0F3806, 0x0F3807])
_SSSE3 = frozenset([*range(0x0F3800, 0x0F380C), *range(0x0F381C, 0x0F381F), 0x0F3A0F])
_CMPXCHG8B, _CONDITIONAL_LOOPS = 0x0FC7, (0xE0, 0xE1)
_REX_R, _REX_B = 4, 1
_RAX, _RCX = 0, 1


class Registers(Protocol):
    """Access to the operands before the instruction."""

    def general(self, number: int) -> int:
        """Return a general register: all 64 bits."""

    def vector(self, number: int) -> int:
        """Return an XMM register."""

    @property
    def stepping(self) -> bool:
        """True if the instruction is executed alone, because TF is set or the machine steps."""

    @property
    def repeats(self) -> bool:
        """True if the last instruction was this one: an iteration of a repeated string instruction."""

    @property
    def following(self) -> int:
        """The address of the next instruction."""

    def memory(self, instruction: Instruction, size: int) -> int | None:
        """Return the memory operand; None if the access faults. Raises LookupError outside RAM."""


def unusual_operands(instruction: Instruction, registers: Registers, mxcsr: int) -> bool:
    """Report whether Unicorn would wrongly execute an instruction with the action FLOATS or LOOK."""
    opcode, operand, wide = instruction.opcode, instruction.operand, instruction.wide
    narrow = instruction.operand_size_prefix
    both = narrow and instruction.prefix in (Prefix.REPEAT, Prefix.REPEAT_NOT_EQUAL)
    if instruction.action & _FLOATS:
        return both or _unusual_numbers(instruction, registers, mxcsr)
    if opcode in _AH:
        return bool(instruction.rex)
    loses_flags = _loses_flags(opcode, registers)
    if loses_flags or opcode in _PORT_STRINGS:
        return loses_flags
    if opcode in _MOV_IMMEDIATE:
        return bool(instruction.rex & _REX_R)
    if opcode in _NEGATIONS:
        return instruction.locked
    if opcode == _RETURN and instruction.immediate >> 15:  # Unicorn extends its sign
        return True
    if opcode <= 0xFF or opcode in _NEAR_JUMPS:
        return instruction.long and (narrow or _calls_nowhere(instruction, registers))
    if opcode in _DOUBLE_SHIFTS:
        return isinstance(operand, MemoryOperand) and operand.relative
    upper = not wide and isinstance(operand, int) and bool(registers.general(operand) >> 32)
    if opcode == _CMPXCHG:
        return instruction.long and not wide and not narrow and (upper or bool(registers.general(_RAX) >> 32))
    if opcode >= _VEX:
        return _unusual_vex(instruction, registers, upper=upper)
    if opcode == _POPCNT:
        return not instruction.long or (both and wide)
    return both or _unusual_registers(instruction)


def all_are_unusual(mxcsr: int) -> bool:
    """Report whether an exception is unmasked or results are flushed to zero: Unicorn implements neither."""
    return bool(~mxcsr >> _MASKS & _EXCEPTIONS or mxcsr & _FLUSH_TO_ZERO)


def _loses_flags(opcode: int, registers: Registers) -> bool:
    """Report whether Unicorn loses the flags of the preceding instruction, if it translates both in one block."""
    if opcode in _PORT_STRINGS:
        return not registers.repeats
    return opcode == _CMPXCHG8B or (opcode in _CONDITIONAL_LOOPS and registers.general(_RCX) & 0xFFFF == 1)


def _calls_nowhere(instruction: Instruction, registers: Registers) -> bool:
    """Report whether this is a CALL to a non-canonical address, which Unicorn checks only after the push."""
    operand = instruction.operand
    if instruction.opcode == _CALL:
        displacement = instruction.immediate - (instruction.immediate >> 31 << 32)
        return not is_canonical(registers.following + displacement & 2**64 - 1)
    if instruction.opcode != _INDIRECT or instruction.extension != _INDIRECT_CALL:
        return False
    try:
        target = registers.general(operand) if isinstance(operand, int) else registers.memory(instruction, 8)
    except LookupError:
        return True
    return target is not None and not is_canonical(target)


def _unusual_vex(instruction: Instruction, registers: Registers, *, upper: bool) -> bool:
    """Check BMI1 and BMI2; `upper` means that the upper half of a 32-bit register operand is nonzero."""
    opcode, prefix = instruction.opcode, instruction.prefix
    if not instruction.long:
        first, second = instruction.code[len(instruction.prefixes) + 1 :][:2]
        if ~first & 0x20 or ~second & 0x40:  # B and the top bit of vvvv, which do not select registers there
            return True
    other, bits = registers.general(instruction.vex_register), 64 if instruction.wide else 32
    if opcode == _BEXTR:
        return prefix == Prefix.NONE and (upper or (other >> 8 & 0xFF) >= bits)
    if opcode != _BZHI_PDEP:
        return False
    if prefix == Prefix.NONE:
        return (other & 0xFF) >= bits - 1
    return prefix == Prefix.REPEAT_NOT_EQUAL and upper


def _unusual_registers(instruction: Instruction) -> bool:
    """Check SSSE3: PHADDx and PHSUBx with the same register as both operands, and MMX registers with REX."""
    opcode = instruction.opcode
    if instruction.prefix == Prefix.NONE and opcode in _SSSE3 and instruction.rex & (_REX_R | _REX_B):
        return True
    return opcode in _OVERWRITING and instruction.operand == instruction.register


def _unusual_numbers(instruction: Instruction, registers: Registers, mxcsr: int) -> bool:
    """Check for denormals whose flag in MXCSR is not set yet, for two NaNs, and for bits of the immediate."""
    opcode, prefix = instruction.opcode, instruction.prefix
    if all_are_unusual(mxcsr):
        return True
    if opcode in _ROUNDS:
        return bool(instruction.immediate & 8) and not mxcsr & _PRECISION
    if opcode == _COMPARISON and instruction.immediate & ~7:
        return True
    horizontal = opcode in _HORIZONTAL
    propagates = opcode in _ARITHMETIC or opcode == _ALTERNATING or horizontal
    if not (propagates or opcode in _ONE_OPERAND | _MINIMUM_MAXIMUM | _STATUS or opcode == _COMPARISON):
        return False
    denormals = not mxcsr & _DENORMAL
    if mxcsr & _DENORMALS_ARE_ZEROS:
        denormals = opcode in _MINIMUM_MAXIMUM
    if not denormals and not propagates:
        return False
    wide = prefix == Prefix.OPERAND_SIZE or (
        prefix == Prefix.REPEAT_NOT_EQUAL and not (horizontal or opcode == _ALTERNATING)
    )
    count = _count(opcode, prefix, wide=wide)
    if not (isinstance(instruction.operand, int) or instruction.long):
        return True
    try:
        source = _source(instruction, registers, count * (8 if wide else 4))
    except LookupError:
        return True
    if source is None:  # Unicorn raises the fault
        return False
    right = _lanes(source, count, wide=wide)
    left = [] if opcode in _ONE_OPERAND else _lanes(registers.vector(instruction.register), count, wide=wide)
    is_denormal, is_nan = _tests(wide)
    if denormals and any(map(is_denormal, left + right)):
        return True
    if not propagates:
        return False
    together = left + right
    pairs = zip(together[::2], together[1::2], strict=True) if horizontal else zip(left, right, strict=True)
    return any(is_nan(a) and is_nan(b) for a, b in pairs)


def _source(instruction: Instruction, registers: Registers, size: int) -> int | None:
    """Return the r/m operand; see `Registers.memory`."""
    if isinstance(instruction.operand, int):
        return registers.vector(instruction.operand)
    return registers.memory(instruction, size)


def _count(opcode: int, prefix: Prefix, *, wide: bool) -> int:
    """Return the number of elements in each operand."""
    if opcode in _STATUS:
        return 1
    packed = 2 if wide or opcode == _CONVERSION else 4
    scalar = prefix in (Prefix.REPEAT, Prefix.REPEAT_NOT_EQUAL) and opcode not in _HORIZONTAL and opcode != _ALTERNATING
    return 1 if scalar else packed


def _lanes(value: int, count: int, *, wide: bool) -> list[int]:
    width = 64 if wide else 32
    return [value >> width * lane & (1 << width) - 1 for lane in range(count)]


def _tests(wide: bool) -> tuple[Callable[[int], bool], Callable[[int], bool]]:
    """Return two predicates: whether a number is denormal, and whether it is a NaN."""
    width, fraction = (64, 52) if wide else (32, 23)
    magnitude = (1 << width - 1) - 1
    infinity = magnitude >> fraction << fraction

    def is_denormal(bits: int) -> bool:
        return 0 < bits & magnitude < 1 << fraction

    def is_nan(bits: int) -> bool:
        return bits & magnitude > infinity

    return is_denormal, is_nan
