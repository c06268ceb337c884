"""SSE moves and shuffles with both 66H and the mandatory prefix F2H or F3H.

F2H and F3H take precedence and 66H is ignored (SDM volume 2, 2.1.2 and appendix A.2.1), but Unicorn treats 66H as the
mandatory prefix. Without 66H Unicorn executes them.
"""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.instruction_set import Prefix
from machine.instructions.disposition import Done
from machine.instructions.operand_access import read_vector_operand, require_sse, write_memory
from machine.processor.cpu import Cpu

_SINGLE, _DOUBLE = Prefix.REPEAT, Prefix.REPEAT_NOT_EQUAL
_LOW_QUAD, _LOW_LONG = (1 << 64) - 1, (1 << 32) - 1


def _words(value: int) -> list[int]:
    return [value >> 16 * lane & 0xFFFF for lane in range(8)]


def _shuffled(value: int, order: int, first: int) -> int:
    """Return `value` with its four words from `first` on permuted: two bits of `order` select each."""
    words = _words(value)
    words[first : first + 4] = [words[first + (order >> 2 * lane & 3)] for lane in range(4)]
    return sum(word << 16 * lane for lane, word in enumerate(words))


def _long(value: int, lane: int) -> int:
    return value >> 32 * lane & _LOW_LONG


def _duplicated(value: int, odd: int) -> int:
    """Evaluate MOVSLDUP or MOVSHDUP: duplicate the even or odd doubleword of each pair."""
    low, high = _long(value, odd), _long(value, 2 + odd)
    return low | low << 32 | high << 64 | high << 96


def _load(cpu: Cpu, instruction: Instruction) -> None:
    """Execute MOVSS or MOVSD to a register: from memory it clears the rest, from a register it keeps the rest."""
    size = 4 if instruction.prefix == _SINGLE else 8
    value = read_vector_operand(cpu, instruction, size)
    if isinstance(instruction.operand, int):
        value |= cpu.context.read_vector(instruction.register) >> 8 * size << 8 * size
    cpu.context.write_vector(instruction.register, value)


def _store(cpu: Cpu, instruction: Instruction) -> None:
    size = 4 if instruction.prefix == _SINGLE else 8
    value = cpu.context.read_vector(instruction.register) & (1 << 8 * size) - 1
    if isinstance(instruction.operand, MemoryOperand):
        write_memory(cpu, instruction, value, size)
    elif instruction.operand is not None:
        kept = cpu.context.read_vector(instruction.operand) >> 8 * size << 8 * size
        cpu.context.write_vector(instruction.operand, kept | value)


def _store_unaligned(cpu: Cpu, instruction: Instruction) -> None:
    """Execute MOVDQU to r/m."""
    value = cpu.context.read_vector(instruction.register)
    if isinstance(instruction.operand, MemoryOperand):
        write_memory(cpu, instruction, value, 16)
    elif instruction.operand is not None:
        cpu.context.write_vector(instruction.operand, value)


def _between_mmx(cpu: Cpu, instruction: Instruction) -> None:
    """Execute MOVQ2DQ (F3H) or MOVDQ2Q (F2H)."""
    context, source = cpu.context, instruction.operand
    assert isinstance(source, int)
    context.enter_mmx()
    if instruction.prefix == _SINGLE:
        context.write_vector(instruction.register, context.read_mmx(source & 7))
    else:
        context.write_mmx(instruction.register & 7, context.read_vector(source) & _LOW_QUAD)


def _transformed(cpu: Cpu, instruction: Instruction) -> None:
    """Execute a move or shuffle that writes a whole register."""
    opcode, single, immediate = instruction.opcode, instruction.prefix == _SINGLE, instruction.immediate
    size = 8 if opcode == 0x0F7E or (opcode == 0x0F12 and not single) else 16
    unaligned = opcode in (0x0F6F, 0x0FF0)
    value = read_vector_operand(cpu, instruction, size, aligned=not unaligned)
    if opcode == 0x0F12 and not single:  # MOVDDUP
        value |= value << 64
    elif opcode in (0x0F12, 0x0F16):
        value = _duplicated(value, int(opcode == 0x0F16))
    elif opcode == 0x0F70:  # PSHUFHW, PSHUFLW
        value = _shuffled(value, immediate, 4 if single else 0)
    cpu.context.write_vector(instruction.register, value)


_MOVES = {
    (0x0F10, _SINGLE): _load,
    (0x0F10, _DOUBLE): _load,
    (0x0F11, _SINGLE): _store,
    (0x0F11, _DOUBLE): _store,
    (0x0F12, _SINGLE): _transformed,
    (0x0F12, _DOUBLE): _transformed,
    (0x0F16, _SINGLE): _transformed,
    (0x0F6F, _SINGLE): _transformed,
    (0x0F70, _SINGLE): _transformed,
    (0x0F70, _DOUBLE): _transformed,
    (0x0F7E, _SINGLE): _transformed,
    (0x0F7F, _SINGLE): _store_unaligned,
    (0x0FD6, _SINGLE): _between_mmx,
    (0x0FD6, _DOUBLE): _between_mmx,
    (0x0FF0, _DOUBLE): _transformed,
}


def execute_move(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP if it also has 66H. Raises Fault."""
    move = _MOVES.get((instruction.opcode, instruction.prefix))
    if move is None or not instruction.operand_size_prefix:
        return Done.NATIVE
    require_sse(cpu)
    move(cpu, instruction)
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys([opcode for opcode, _ in _MOVES], execute_move)
