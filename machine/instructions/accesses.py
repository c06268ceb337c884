"""The memory that the instruction at RIP is about to access, for checks that Unicorn does not perform.

Instructions are decoded by capstone, which is imported when first needed, and the result is cached by their bytes. Not
included are accesses through neither an operand nor the stack pointer: descriptor tables, task state segments.
"""

from functools import cache, lru_cache
from typing import Any

import msgspec

from machine.architecture.decoding import OPERAND_SIZE, REPEAT, REPEAT_NOT_EQUAL, Instruction, MemoryOperand
from machine.architecture.instruction_set import ROWS, Map, Prefix
from machine.architecture.opcodes import Action
from machine.architecture.processor_state import DEFAULT_32, GENERAL_REGISTERS, ProcessorState
from machine.instructions.floating_point.forms import WRITING
from machine.processor.cpu import Cpu
from machine.processor.step_hook import STRINGS

_MODIFIES = int(Action.MODIFIES)
_OP_MEM = 3  # capstone.x86.X86_OP_MEM, without importing it
_AC_WRITE = 2  # capstone.CS_AC_WRITE
_PUSHES = frozenset("push call pushf pushfd pushfq enter".split())
_POPS = frozenset("pop ret retf retfq iret iretd iretq popf popfd popfq leave".split())
_ALL_REGISTERS = {"pushaw": 8, "pushal": 8, "popaw": 8, "popal": 8}
_DEFAULT_TO_32 = frozenset(["retf", "iretd", "lcall", "ljmp"])
"""In 64-bit mode these move 32-bit words; other instructions with implied stack words move 64 bits."""
_WORDS = {"retf": 2, "retfq": 2, "iret": 3, "iretd": 3, "iretq": 5}
_REPEATS = frozenset([REPEAT, REPEAT_NOT_EQUAL])
_BIT_TESTS = frozenset([0x0FA3, 0x0FAB, 0x0FB3, 0x0FBB])
"""BT, BTS, BTR and BTC with a signed bit number in a register, which may be outside the operand named."""
_NO_ACCESS = frozenset([0x8D, 0x0F0D, *range(0x0F18, 0x0F20)])
"""LEA, and hints, including every NOP with a memory operand."""
_BASES = {Map.ONE_BYTE: 0, Map.TWO_BYTE: 0x0F00, Map.THREE_BYTE_38: 0x0F_3800, Map.THREE_BYTE_3A: 0x0F_3A00}
_SIZES = {"comisd": 8, "fxsave": 512, "fxrstor": 512, "fxsave64": 512, "fxrstor64": 512}
_ENVIRONMENT, _X87_REGISTERS = ("fnstenv", "fldenv"), ("fnsave", "frstor")
_IMPLICIT = {"maskmovq": (("di",), 8), "maskmovdqu": (("di",), 16), "xlatb": (("bx", "al"), 1)}
"""The addresses of operands that capstone does not name, as registers to be added, and their sizes in bytes."""
_FAR = frozenset(["lds", "les", "lss", "lfs", "lgs", "lcall", "ljmp"])
_SEGMENTS = {0x26: "es", 0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x64: "fs", 0x65: "gs"}
_NO_SEGMENTS_IN_64_BIT_MODE = frozenset(byte for byte, name in _SEGMENTS.items() if name not in ("fs", "gs"))
_NARROW = frozenset(["bx", "bp", "si", "di"])


@cache
def _meaningless() -> frozenset[tuple[int, int]]:
    """Return opcodes, each with a mandatory prefix that has no effect."""
    return frozenset(
        (_BASES[row.map] | opcode, prefix)
        for row in ROWS
        if row.map in _BASES and Prefix.NONE in row.prefixes
        for prefix in row.prefixes
        for opcode in row.opcodes
    )


@cache
def _stores() -> frozenset[tuple[int, int, int]]:
    """Return opcodes, each with a mandatory prefix and a reg field, that write their memory operand."""
    from machine.instructions.floating_point.table import MEMORY_FORMS  # noqa: PLC0415 - see clearing

    found = {
        (_BASES[row.map] | opcode, prefix, extension)
        for row in ROWS
        if "st" in row.traits
        for opcode in row.opcodes
        for prefix in row.prefixes
        for extension in row.extensions
    }
    x87 = (key for key, form in MEMORY_FORMS.items() if form.access in WRITING)
    return frozenset(found | {(opcode, prefix, extension) for opcode, extension in x87 for prefix in Prefix})


def _writes_operand(instruction: Instruction) -> bool:
    key = instruction.opcode, instruction.prefix, instruction.extension
    return bool(instruction.action & _MODIFIES) or key in _stores()


class Access(msgspec.Struct, frozen=True):
    """One access of an instruction to data."""

    segment: str
    """The segment register, such as "ds"."""
    offset: int
    """From the segment's base, in bytes."""
    size: int
    """In bytes."""
    writes: bool


class _Operand(msgspec.Struct, frozen=True):
    """An access whose offset has not been computed."""

    segment: str
    registers: tuple[tuple[str, int], ...]
    """Capstone's names, each with its scale."""
    displacement: int
    address_bits: int
    size: int
    writes: bool


class _Decoded(msgspec.Struct, frozen=True):
    operands: tuple[_Operand, ...]
    pushes: int
    """Bytes pushed, or popped if negative."""
    from_frame: bool
    """True for LEAVE, which pops at the frame pointer."""
    counter_bits: int
    """Width of a repeated string instruction's counter, in bits; otherwise 0."""


@cache
def _decoder(bits: int) -> Any:
    import capstone  # noqa: PLC0415 - takes longer to import than a small kernel to boot

    mode = {64: capstone.CS_MODE_64, 32: capstone.CS_MODE_32, 16: capstone.CS_MODE_16}[bits]
    decoder = capstone.Cs(capstone.CS_ARCH_X86, mode)
    decoder.detail = True
    return decoder


@lru_cache(maxsize=4096)  # as many as `decoding.decode` caches
def _decode(code: bytes, bits: int) -> _Decoded | None:
    found = next(_decoder(bits).disasm(code, 0, 1), None)
    if found is None:
        return None
    words = found.mnemonic.split()
    name = words[-1]
    narrow = 0x66 in found.prefix
    near_branch = name in ("call", "jmp", "ret")
    wide = bits == 64 and (bool(found.rex & 8) or near_branch or not (narrow or name in _DEFAULT_TO_32))
    word = 8 if wide else 4 if (bits == 16) == narrow else 2
    repeats = found.prefix[0] in _REPEATS and any(part.startswith("rep") for part in words)
    operands = tuple(
        _operand(found, name, operand, word, long=bits == 64) for operand in found.operands if operand.type == _OP_MEM
    )
    if name in _IMPLICIT:
        operands = (_implicit(found, name, long=bits == 64),)
    return _Decoded(
        operands,
        _pushed(name, word),
        name == "leave",
        8 * int(found.addr_size) if repeats else 0,
    )


def _operand(found: Any, name: str, operand: Any, word: int, *, long: bool) -> _Operand:
    memory = operand.mem
    registers = tuple(
        (found.reg_name(number), scale) for number, scale in ((memory.base, 1), (memory.index, memory.scale)) if number
    )
    on_stack = bool(registers) and registers[0][0] in ("esp", "ebp", "bp", "rsp", "rbp") and bool(memory.base)
    segment = found.reg_name(memory.segment) if memory.segment else ""
    if not segment or (long and segment not in ("fs", "gs")):  # in 64-bit mode the other overrides have no effect
        segment = "ss" if on_stack else "ds"
    size = _SIZES.get(name, int(operand.size))
    if name in _ENVIRONMENT:
        size = 14 if word == 2 else 28
    elif name in _X87_REGISTERS:
        size = 94 if word == 2 else 108
    elif name in _FAR:
        size = word + 2
    writes = bool(operand.access & _AC_WRITE) or name.startswith("ins")
    return _Operand(segment, registers, int(memory.disp), 8 * int(found.addr_size), size, writes)


def _implicit(found: Any, name: str, *, long: bool) -> _Operand:
    address_bits = 8 * int(found.addr_size)
    registers, size = _IMPLICIT[name]
    first = {64: "r", 32: "e", 16: ""}[address_bits] + registers[0]
    override = _SEGMENTS.get(found.prefix[1], "ds")
    segment = override if not long or override in ("fs", "gs") else "ds"
    scaled = tuple((register, 1) for register in (first, *registers[1:]))
    return _Operand(segment, scaled, 0, address_bits, size, writes=name != "xlatb")


def _pushed(name: str, word: int) -> int:
    if name in _ALL_REGISTERS:
        size = 8 * word
        return size if name.startswith("push") else -size
    if name in _PUSHES:
        return word
    return -word * _WORDS.get(name, 1) if name in _POPS else 0


def code_bits(registers: ProcessorState) -> int:
    """Return the default size of operands and addresses in the current code segment: 64, 32 or 16 bits."""
    if registers.in_64_bit_code:
        return 64
    return 32 if registers.cs.flags & DEFAULT_32 else 16


def accesses(cpu: Cpu, instruction: Instruction | None) -> list[Access]:
    """Return the data accesses of `instruction`, the one at RIP; none if it is repeated and its counter is 0."""
    registers = cpu.registers
    if instruction is None or instruction.opcode in _NO_ACCESS:
        return []
    found = _decode(_without_meaningless_prefix(instruction), code_bits(registers))
    if found is None or (found.counter_bits and not registers.rcx & (1 << found.counter_bits) - 1):
        return []
    named = isinstance(instruction.operand, MemoryOperand)  # capstone does not always know whether it is written
    writes = named and _writes_operand(instruction)
    result = [
        Access(
            operand.segment,
            _offset(registers, operand, instruction),
            operand.size,
            writes if named else operand.writes,
        )
        for operand in found.operands
    ]
    if found.pushes:
        mask = 2**64 - 1
        if not registers.in_64_bit_code:
            mask = 0xFFFF_FFFF if registers.ss.flags & DEFAULT_32 else 0xFFFF
        top = registers.rbp if found.from_frame else registers.rsp
        size = abs(found.pushes)
        result.append(Access("ss", (top - max(found.pushes, 0)) & mask, size, found.pushes > 0))
    return result


def _without_meaningless_prefix(instruction: Instruction) -> bytes:
    """Return the code without ineffective prefixes.

    With F2H and F3H capstone would ignore 66H, and with 66H sometimes REX.W; with CS, DS, ES and SS in 64-bit mode it
    would ignore FS and GS.
    """
    code, prefixes = instruction.code, instruction.prefixes
    ineffective = _NO_SEGMENTS_IN_64_BIT_MODE if instruction.long else frozenset[int]()
    if instruction.opcode not in STRINGS and (instruction.opcode, instruction.prefix) in _meaningless():
        ineffective |= _REPEATS | {OPERAND_SIZE} if instruction.wide else _REPEATS
    if ineffective.isdisjoint(prefixes):
        return code
    return bytes(byte for byte in prefixes if byte not in ineffective) + code[len(prefixes) :]


def _offset(registers: ProcessorState, operand: _Operand, instruction: Instruction) -> int:
    offset = operand.displacement
    for name, scale in operand.registers:
        offset += _register(registers, name, instruction.length) * scale
    if instruction.opcode in _BIT_TESTS:
        bits = 8 * operand.size
        number = getattr(registers, GENERAL_REGISTERS[instruction.register]) & (1 << bits) - 1
        offset += ((number ^ 1 << bits - 1) - (1 << bits - 1)) // bits * operand.size
    return int(offset & (1 << operand.address_bits) - 1)


def _register(registers: ProcessorState, name: str, length: int) -> int:
    if name in ("rip", "eip"):
        return registers.rip + length
    if name in ("eiz", "riz"):
        return 0
    if name == "al":
        return registers.rax & 0xFF
    if name.startswith("e"):
        return int(getattr(registers, f"r{name[1:]}")) & 2**32 - 1
    if name.endswith("d"):
        return int(getattr(registers, name[:-1])) & 2**32 - 1
    if name in _NARROW:
        return int(getattr(registers, f"r{name}")) & 0xFFFF
    return int(getattr(registers, name))


def linear(registers: ProcessorState, access: Access) -> int:
    """Return the linear address of an access."""
    long = registers.in_64_bit_code
    if long and access.segment not in ("fs", "gs"):
        return access.offset
    mask = 2**64 - 1 if long else 2**32 - 1
    return int(access.offset + getattr(registers, access.segment).base & mask)
