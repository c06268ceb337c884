"""Decoding instructions (SDM volume 2, chapter 2).

`decode` splits an instruction into its fields. `action` reads only prefixes and opcode, as the instruction hook does,
and looks them up in opcodes.py.
"""

from functools import lru_cache

import msgspec

from machine.architecture.instruction_set import ROWS, Map, Prefix
from machine.architecture.opcodes import TABLES, Action

_WITH_MODRM = frozenset((row.map, opcode) for row in ROWS if row.modrm != "-" for opcode in row.opcodes)
_IMMEDIATES = ("ib", "iw", "iz", "iv", "off", "far", "iwb", "rel")
IMMEDIATE_KINDS = {
    (row.map, opcode, extension): kind
    for row in ROWS
    for kind in _IMMEDIATES
    if kind in row.traits
    for opcode in row.opcodes
    for extension in row.extensions
}
"""Traits of instruction_set.py that name the immediate operand, by map, opcode and reg field."""

_SEGMENT_PREFIXES = {0x26: "es", 0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x64: "fs", 0x65: "gs"}
_FS_GS = (0x64, 0x65)
_CS, _JCC, _JCC_NEAR, _LEA, _HINTS = 0x2E, 0x70, 0x80, 0x8D, 0x18
LOCK, OPERAND_SIZE, ADDRESS_SIZE, REPEAT_NOT_EQUAL, REPEAT = 0xF0, 0x66, 0x67, 0xF2, 0xF3
_LEGACY_PREFIXES = frozenset([*_SEGMENT_PREFIXES, LOCK, OPERAND_SIZE, ADDRESS_SIZE, REPEAT_NOT_EQUAL, REPEAT])
_MANDATORY = {OPERAND_SIZE: Prefix.OPERAND_SIZE, REPEAT: Prefix.REPEAT, REPEAT_NOT_EQUAL: Prefix.REPEAT_NOT_EQUAL}
_VEX_PREFIXES = (Prefix.NONE, Prefix.OPERAND_SIZE, Prefix.REPEAT, Prefix.REPEAT_NOT_EQUAL)
_VEX_MAPS = {2: Map.VEX_38, 3: Map.VEX_3A}
_ESCAPES = {0x38: Map.THREE_BYTE_38, 0x3A: Map.THREE_BYTE_3A}
_BASES = {
    Map.ONE_BYTE: 0,
    Map.TWO_BYTE: 0x0F00,
    Map.THREE_BYTE_38: 0x0F_3800,
    Map.THREE_BYTE_3A: 0x0F_3A00,
    Map.VEX_38: 0xC4_3800,
    Map.VEX_3A: 0xC4_3A00,
}
_RSP, _RBP = 4, 5
_WITH_IMPLICIT_SEGMENT = frozenset([0x6E, 0x6F, *range(0xA0, 0xA8), 0xAC, 0xAD, 0xD7])
"""OUTS, MOV of an offset, MOVS, CMPS, LODS and XLAT."""


def has_modrm(opcode_map: int, opcode: int) -> bool:
    """Return whether a ModRM byte follows an opcode."""
    return (opcode_map, opcode) in _WITH_MODRM


class MemoryOperand(msgspec.Struct, frozen=True):
    """An effective address in parts: registers by number, or None."""

    segment: str
    base: int | None
    index: int | None
    scale: int
    displacement: int
    relative: bool
    """The displacement is relative to the address of the next instruction."""
    address_bits: int = 64
    """16, 32 or 64: the number of bits to which the effective address is truncated before the segment base is added."""


class Instruction(msgspec.Struct, frozen=True):
    """An instruction, decoded."""

    prefixes: bytes
    """The legacy prefixes."""
    rex: int
    """The REX prefix, or 0; for a VEX prefix, a REX prefix with the same W, R, X and B."""
    opcode: int
    """One byte, or 0x0Fxx, 0x0F38xx, 0x0F3Axx; with VEX 0xC438xx, 0xC43Axx."""
    prefix: Prefix
    """The mandatory prefix in effect."""
    modrm: int
    """The ModRM byte; 0 without one."""
    register: int
    """The reg field of ModRM, with REX.R; 0 without ModRM."""
    operand: int | MemoryOperand | None
    """The r/m field: a register number with REX.B, or memory."""
    length: int
    """In bytes, including the immediate."""
    immediate: int
    """The immediate operand, unsigned; a far pointer with its selector above the offset; 0 without one."""
    immediate_bytes: int
    vex_register: int
    """VEX.vvvv; 0 without VEX."""
    action: int
    """Bits of `Action`."""
    long: bool
    """Decoded for 64-bit mode."""
    code: bytes

    @property
    def extension(self) -> int:
        """The reg field as an opcode extension."""
        return self.register & 7

    @property
    def has_segment(self) -> bool:
        """True with an operand in memory whose segment can be overridden."""
        return isinstance(self.operand, MemoryOperand) or self.opcode in _WITH_IMPLICIT_SEGMENT

    @property
    def locked(self) -> bool:
        """True with the LOCK prefix."""
        return LOCK in self.prefixes

    @property
    def wide(self) -> bool:
        """True with REX.W."""
        return bool(self.rex & 8)

    @property
    def operand_size_prefix(self) -> bool:
        """True with the prefix 66H."""
        return OPERAND_SIZE in self.prefixes

    @property
    def address_size_prefix(self) -> bool:
        """True with the prefix 67H."""
        return ADDRESS_SIZE in self.prefixes


@lru_cache(maxsize=4096)  # more than the distinct instructions of a small kernel
def decode(code: bytes, long: bool = True, wide: bool = True) -> Instruction | None:
    """Decode the instruction at the beginning of `code`.

    Args:
        code: The bytes from the first prefix on; 15 are always enough.
        long: Decode for 64-bit mode.
        wide: Outside 64-bit mode: the code segment's default operand and address size is 32 bits, not 16.

    Returns:
        The instruction, or None if `code` ends before it does.
    """
    try:
        return _decode(code, long=long, wide=wide)
    except IndexError:
        return None


def action(code: bytes, *, long: bool = True) -> int:
    """Return the `Action`s of the instruction at the beginning of `code`; step_hook.c does the same in C.

    Args:
        code: The bytes from the first prefix on. It may end before the operands do.
        long: Decode for 64-bit mode.

    Returns:
        Bits of `Action`; 0 if `code` ends before the opcode is known.
    """
    try:
        return _opcode(code, long=long)[-1]
    except IndexError:
        return 0


def _opcode(code: bytes, *, long: bool) -> tuple[int, int, Map, Prefix, int, int, int, int]:
    """Decode prefixes and opcode; IndexError where `code` ends before them.

    Returns:
        The number of legacy prefixes, REX, map, mandatory prefix, opcode, VEX.vvvv, the offset of ModRM (if the opcode
        has one), and the actions.
    """
    at = rex = vex_register = 0
    mandatory, locked, overridden, misleading, last = Prefix.NONE, False, False, False, 0
    while code[at] in _LEGACY_PREFIXES or (long and code[at] & 0xF0 == 0x40):
        byte = code[at]
        rex = byte if long and byte & 0xF0 == 0x40 else 0
        locked = locked or byte == LOCK
        misleading = byte not in _FS_GS and (misleading or (overridden and byte in _SEGMENT_PREFIXES))
        overridden = overridden or byte in _FS_GS
        last = byte if byte in _SEGMENT_PREFIXES else last
        if byte in _MANDATORY and (byte != OPERAND_SIZE or mandatory == Prefix.NONE):
            mandatory = _MANDATORY[byte]
        at += 1
    legacy = at - bool(rex)
    opcode, opcode_map, defined = code[at], Map.ONE_BYTE, True
    at += 1
    if opcode in (0xC4, 0xC5) and (long or code[at] >= 0xC0):
        defined = not (rex or locked or mandatory) and opcode == 0xC4
        first, second = code[at], code[at + 1] if opcode == 0xC4 else 0
        opcode_map = _VEX_MAPS.get(first & 0x1F, Map.ONE_BYTE)
        vex_register = ~second >> 3 & 15
        defined = defined and opcode_map != Map.ONE_BYTE and not second & 4
        defined = defined and not (opcode_map == Map.VEX_3A and vex_register)
        if long:
            rex = 0x40 | second >> 4 & 8 | (~first >> 5 & 7)
        else:  # eight registers of 32 bits: W, B and the top bit of vvvv are ignored
            vex_register &= 7
        mandatory = _VEX_PREFIXES[second & 3]
        at += 2 if opcode == 0xC4 else 1
        opcode = code[at] if defined else opcode
        at += defined
    elif opcode == 0x0F:
        opcode, opcode_map = code[at], Map.TWO_BYTE
        at += 1
        if opcode in _ESCAPES:
            opcode, opcode_map = code[at], _ESCAPES[opcode]
            at += 1
    modrm = code[at] if at < len(code) else None
    found = TABLES[long].action(opcode_map, mandatory, opcode, modrm) if defined else int(Action.UNDEFINED)
    if overridden and defined and not long:
        found |= int(Action.OVERRIDE)
    if last == _CS and defined and not long and not _ignores_cs(opcode_map, opcode):
        found |= int(Action.CODE)
    if misleading and long:
        found |= int(Action.MISLEADING)
    if locked and (not found & Action.LOCKABLE or (modrm is not None and modrm >= 0xC0)):
        found = int(Action.UNDEFINED)
    return legacy, rex, opcode_map, mandatory, opcode, vex_register, at, found


def _ignores_cs(opcode_map: Map, opcode: int) -> bool:
    """Return whether a CS prefix is part of a common instruction without memory access: a branch, LEA, a hint."""
    if opcode_map == Map.TWO_BYTE:
        return opcode & 0xF0 == _JCC_NEAR or opcode & 0xF8 == _HINTS
    return opcode_map == Map.ONE_BYTE and (opcode & 0xF0 == _JCC or opcode == _LEA)


def _decode(code: bytes, *, long: bool, wide: bool) -> Instruction:
    legacy, rex, opcode_map, mandatory, opcode, vex_register, at, found = _opcode(code, long=long)
    if found & Action.UNDEFINED:  # its length is that of its prefixes and opcode, which make it undefined
        at = min(at, len(code))
        return Instruction(code[:legacy], rex, opcode, mandatory, 0, 0, None, at, 0, 0, 0, found, long, code[:at])
    prefixes = code[:legacy]
    number = _BASES[opcode_map] | opcode
    wide_operand = long or (wide != (OPERAND_SIZE in prefixes))
    address_bits = 64 if long else 32 if wide else 16
    if ADDRESS_SIZE in prefixes:
        address_bits = {64: 32, 32: 16, 16: 32}[address_bits]
    modrm = 0
    operand: int | MemoryOperand | None = None
    if (opcode_map, opcode) in _WITH_MODRM:
        modrm = code[at]
        at += 1
        if modrm >= 0xC0 or 0x0F20 <= number <= 0x0F23:  # MOV CR and MOV DR ignore the mode
            operand = modrm & 7 | (rex & 1) << 3
        elif address_bits == 16:
            operand, at = _memory_operand_16(code, at, modrm, prefixes)
        else:
            operand, at = _memory_operand(code, at, modrm, rex, prefixes, long=long, bits=address_bits)
    register = modrm >> 3 & 7 | (rex & 4) << 1
    kind = IMMEDIATE_KINDS.get((opcode_map, opcode, register & 7))
    size = _immediate_size(kind, rex, prefixes, address_bits, long=long, wide=wide_operand)
    if at + size > len(code):
        raise IndexError
    immediate = int.from_bytes(code[at : at + size], "little")
    at += size
    return Instruction(
        prefixes,
        rex,
        number,
        mandatory,
        modrm,
        register,
        operand,
        at,
        immediate,
        size,
        vex_register,
        found,
        long,
        code[:at],
    )


def _immediate_size(kind: str | None, rex: int, prefixes: bytes, address_bits: int, *, long: bool, wide: bool) -> int:
    if kind is None:
        return 0
    word = 4 if wide and not (long and OPERAND_SIZE in prefixes and not rex & 8) else 2
    sizes = {
        "ib": 1,
        "iw": 2,
        "iz": word,
        "iv": 8 if rex & 8 else word,
        "far": word + 2,
        "iwb": 3,
        "rel": 4 if long else word,
    }
    return sizes.get(kind, address_bits // 8)


def overridden_segment(prefixes: bytes, default: str, *, long: bool) -> str:
    """Return the segment of an operand: the last override counts, in 64-bit mode the last one for FS or GS."""
    for prefix in prefixes:
        name = _SEGMENT_PREFIXES.get(prefix)
        if name is not None and (not long or name in ("fs", "gs")):
            default = name
    return default


def misleading_prefixes(prefixes: bytes) -> tuple[str, str]:
    """Return the segments of an instruction that is MISLEADING: the one that Unicorn takes, and the right one."""
    last = next(_SEGMENT_PREFIXES[prefix] for prefix in reversed(prefixes) if prefix in _SEGMENT_PREFIXES)
    return last, overridden_segment(prefixes, last, long=True)


def _memory_operand(
    code: bytes, at: int, modrm: int, rex: int, prefixes: bytes, *, long: bool, bits: int
) -> tuple[MemoryOperand, int]:
    mode, low = modrm >> 6, modrm & 7
    base: int | None = low | (rex & 1) << 3
    index, scale, relative = None, 1, False
    if low == _RSP:
        sib = code[at]
        at += 1
        scale = 1 << (sib >> 6)
        index = sib >> 3 & 7 | (rex & 2) << 2
        index = None if index == _RSP else index
        low = sib & 7
        base = low | (rex & 1) << 3
        if low == _RBP and mode == 0:
            base = None
    elif low == _RBP and mode == 0:
        base, relative = None, long
    width = {1: 1, 2: 4}.get(mode, 4 if base is None else 0)
    if at + width > len(code):
        raise IndexError
    displacement = int.from_bytes(code[at : at + width], "little", signed=True)
    segment = overridden_segment(prefixes, "ss" if base in (_RSP, _RBP) else "ds", long=long)
    return MemoryOperand(segment, base, index, scale, displacement, relative, bits), at + width


_PAIRS_16 = ((3, 6), (3, 7), (5, 6), (5, 7), (6, None), (7, None), (5, None), (3, None))


def _memory_operand_16(code: bytes, at: int, modrm: int, prefixes: bytes) -> tuple[MemoryOperand, int]:
    mode, low = modrm >> 6, modrm & 7
    base: int | None
    base, index = _PAIRS_16[low]
    width = mode
    if mode == 0 and low == 6:
        base, width = None, 2
    if at + width > len(code):
        raise IndexError
    displacement = int.from_bytes(code[at : at + width], "little", signed=True)
    segment = overridden_segment(prefixes, "ss" if base == _RBP else "ds", long=False)
    return MemoryOperand(segment, base, index, 1, displacement, False, 16), at + width
