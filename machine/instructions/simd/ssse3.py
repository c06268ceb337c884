"""The SSSE3 instructions on MMX and XMM registers (SDM volume 2).

Unicorn executes them, except in two cases: PHADDx and PHSUBx with the same register as both operands, which it
overwrites too early; and MMX forms with REX.R or REX.B, which it treats as part of the register number.
"""

from collections.abc import Callable

from machine.architecture.decoding import Instruction
from machine.instructions.disposition import Done
from machine.instructions.operand_access import read_mmx_operand, read_vector_operand, require_mmx, require_sse
from machine.processor.cpu import Cpu

_PALIGNR = 0x0F3A0F


def _lanes(data: bytes, size: int, *, signed: bool = True) -> list[int]:
    return [int.from_bytes(data[at : at + size], "little", signed=signed) for at in range(0, len(data), size)]


def _joined(values: list[int], size: int) -> bytes:
    mask = (1 << 8 * size) - 1
    return b"".join((value & mask).to_bytes(size, "little") for value in values)


def _saturated(value: int) -> int:
    return max(-0x8000, min(value, 0x7FFF))


def _shuffle(a: bytes, b: bytes) -> bytes:
    return bytes(0 if chosen & 0x80 else a[chosen & len(a) - 1] for chosen in b)


def _horizontal(size: int, sign: int, *, saturates: bool = False) -> Callable[[bytes, bytes], bytes]:
    def operation(a: bytes, b: bytes) -> bytes:
        lanes = _lanes(a + b, size)
        found = [x + sign * y for x, y in zip(lanes[::2], lanes[1::2], strict=True)]
        return _joined([_saturated(value) for value in found] if saturates else found, size)

    return operation


def _multiply_add(a: bytes, b: bytes) -> bytes:
    products = [x * y for x, y in zip(a, _lanes(b, 1), strict=True)]
    return _joined([_saturated(x + y) for x, y in zip(products[::2], products[1::2], strict=True)], 2)


def _sign(size: int) -> Callable[[bytes, bytes], bytes]:
    def operation(a: bytes, b: bytes) -> bytes:
        pairs = zip(_lanes(a, size), _lanes(b, size), strict=True)
        return _joined([x * ((y > 0) - (y < 0)) for x, y in pairs], size)

    return operation


def _multiply_high(a: bytes, b: bytes) -> bytes:
    return _joined([(x * y >> 14) + 1 >> 1 for x, y in zip(_lanes(a, 2), _lanes(b, 2), strict=True)], 2)


def _absolute(size: int) -> Callable[[bytes, bytes], bytes]:
    def operation(_a: bytes, b: bytes) -> bytes:
        return _joined([abs(value) for value in _lanes(b, size)], size)

    return operation


_OPERATIONS: dict[int, Callable[[bytes, bytes], bytes]] = {
    0x0F3800: _shuffle,
    0x0F3801: _horizontal(2, 1),
    0x0F3802: _horizontal(4, 1),
    0x0F3803: _horizontal(2, 1, saturates=True),
    0x0F3804: _multiply_add,
    0x0F3805: _horizontal(2, -1),
    0x0F3806: _horizontal(4, -1),
    0x0F3807: _horizontal(2, -1, saturates=True),
    0x0F3808: _sign(1),
    0x0F3809: _sign(2),
    0x0F380A: _sign(4),
    0x0F380B: _multiply_high,
    0x0F381C: _absolute(1),
    0x0F381D: _absolute(2),
    0x0F381E: _absolute(4),
}


def evaluate(opcode: int, destination: bytes, source: bytes, immediate: int) -> bytes:
    """Return the new destination of an instruction; operands have 8 or 16 bytes."""
    if opcode == _PALIGNR:
        size = len(destination)
        return (source + destination + bytes(size))[immediate : immediate + size].ljust(size, b"\0")
    return _OPERATIONS[opcode](destination, source)


def execute_ssse3(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP. Raises Fault."""
    context = cpu.context
    if instruction.prefix:
        require_sse(cpu)
        number, size = instruction.register, 16
        source, destination = read_vector_operand(cpu, instruction, size), context.read_vector(number)
    else:
        require_mmx(cpu)
        number, size = instruction.register & 7, 8
        source, destination = read_mmx_operand(cpu, instruction), context.read_mmx(number)
    operands = destination.to_bytes(size, "little"), source.to_bytes(size, "little")
    result = int.from_bytes(evaluate(instruction.opcode, *operands, instruction.immediate), "little")
    if instruction.prefix:
        context.write_vector(number, result)
    else:
        context.enter_mmx()
        context.write_mmx(number, result)
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys([*_OPERATIONS, _PALIGNR], execute_ssse3)
