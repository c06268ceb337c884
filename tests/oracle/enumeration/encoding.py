"""Layout of the bytes after an opcode: which opcodes have ModRM and which immediate (SDM volume 2, appendix A).

The tables cover the whole opcode space; for undefined opcodes they say what decoding does: it takes ModRM and no
immediate.
"""

from enum import Enum

from tests.machine.programs.program import Mode

OPERAND_SIZE, ADDRESS_SIZE, LOCK, REPNE, REP = 0x66, 0x67, 0xF0, 0xF2, 0xF3
SEGMENTS = b"\x26\x2e\x36\x3e\x64\x65"
LEGACY_PREFIXES = frozenset([OPERAND_SIZE, ADDRESS_SIZE, LOCK, REPNE, REP, *SEGMENTS])


class Map(Enum):
    """An opcode map, by the bytes that lead to it."""

    ONE_BYTE = b""
    TWO_BYTE = b"\x0f"
    THREE_BYTE_38 = b"\x0f\x38"
    THREE_BYTE_3A = b"\x0f\x3a"


_ONE_BYTE_MODRM = frozenset(
    [
        *(op for op in range(0x40) if op & 7 < 4),
        *(0x62, 0x63, 0x69, 0x6B, *range(0x80, 0x90), 0xC0, 0xC1, *range(0xC4, 0xC8)),
        *(*range(0xD0, 0xD4), *range(0xD8, 0xE0), 0xF6, 0xF7, 0xFE, 0xFF),
    ]
)
_TWO_BYTE_PLAIN = frozenset(
    [
        *(*range(0x04, 0x0D), 0x0E, *range(0x30, 0x38), 0x77, *range(0x80, 0x90), *range(0xC8, 0xD0)),
        *(0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA),
    ]
)
_ONE_BYTE_IMM8 = frozenset(
    [
        *(op for op in range(0x40) if op & 7 == 4),
        *(0x6A, 0x6B, *range(0x70, 0x81), 0x82, 0x83, 0xA8, *range(0xB0, 0xB8), 0xC0, 0xC1, 0xC6, 0xCD, 0xD4, 0xD5),
        *(*range(0xE0, 0xE8), 0xEB),
    ]
)
_ONE_BYTE_IMM_Z = frozenset([*(op for op in range(0x40) if op & 7 == 5), 0x68, 0x69, 0x81, 0xA9, 0xC7])
_TWO_BYTE_IMM8 = frozenset([*range(0x70, 0x74), 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6])


def has_modrm(table: Map, opcode: int, mode: Mode) -> bool:
    """Tell opcodes with a ModRM byte from those without."""
    if table is Map.ONE_BYTE:
        return opcode in _ONE_BYTE_MODRM
    return table is not Map.TWO_BYTE or opcode not in _TWO_BYTE_PLAIN


def immediate_size(table: Map, opcode: int, extension: int, prefixes: bytes, mode: Mode) -> int:
    """Bytes of the immediate operand, which may be a branch displacement, a far pointer or an address."""
    rex = prefixes[-1] if prefixes and mode is Mode.LONG and prefixes[-1] & 0xF0 == 0x40 else 0
    word = OPERAND_SIZE in prefixes and not rex & 8
    full = 2 if word else 4
    if table is Map.THREE_BYTE_3A:
        return 1
    if table is Map.TWO_BYTE:
        if 0x80 <= opcode < 0x90:  # in 64-bit mode Intel's processors ignore 66H at near branches
            return 4 if mode is Mode.LONG else full
        return int(opcode in _TWO_BYTE_IMM8)
    if table is Map.THREE_BYTE_38:
        return 0
    if opcode in _ONE_BYTE_IMM8 or (opcode == 0xF6 and extension < 2):
        return 1
    if opcode in _ONE_BYTE_IMM_Z or (opcode == 0xF7 and extension < 2):
        return full
    return _odd_immediate(opcode, prefixes, mode, rex, full)


def _odd_immediate(opcode: int, prefixes: bytes, mode: Mode, rex: int, full: int) -> int:
    if 0xB8 <= opcode < 0xC0:
        return 8 if rex & 8 else full
    if 0xA0 <= opcode < 0xA4:
        narrow = ADDRESS_SIZE in prefixes
        return (4 if narrow else 8) if mode is Mode.LONG else (2 if narrow else 4)
    if opcode in (0xE8, 0xE9):
        return 4 if mode is Mode.LONG else full
    if opcode in (0x9A, 0xEA):
        return full + 2
    return {0xC2: 2, 0xCA: 2, 0xC8: 3}.get(opcode, 0)
