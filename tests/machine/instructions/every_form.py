"""One form of each instruction with a memory operand: every opcode, mandatory prefix and distinguished reg field."""

from collections.abc import Iterator
from typing import NamedTuple

from machine.architecture.instruction_set import ROWS, Map, Prefix, Row

ESCAPES = {Map.ONE_BYTE: b"", Map.TWO_BYTE: b"\x0f", Map.THREE_BYTE_38: b"\x0f\x38", Map.THREE_BYTE_3A: b"\x0f\x3a"}
PREFIXES = {Prefix.NONE: b"", Prefix.OPERAND_SIZE: b"\x66", Prefix.REPEAT: b"\xf3", Prefix.REPEAT_NOT_EQUAL: b"\xf2"}
_ECX = 1
_IMMEDIATES = frozenset("ib iw iz iv off far iwb rel".split())
_X87 = range(0xD8, 0xE0)
_STRINGS = (*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0))
_OFFSETS, _XLAT = range(0xA0, 0xA4), 0xD7


class Form(NamedTuple):
    """An instruction."""

    row: Row
    opcode: int
    prefix: Prefix
    extension: int
    head: bytes
    """Prefixes, opcode and ModRM, if there is one."""
    immediate: int
    """Its size in bytes, if it need not be an address."""

    @property
    def name(self) -> str:
        return f"{self.head.hex()} /{self.extension}"

    def code(self, address: int = 0) -> bytes:
        """For 32-bit code: the operand is at ECX, or at `address` if it is a direct offset."""
        if "off" in self.row.traits:
            return self.head + address.to_bytes(4, "little")
        return self.head + bytes(self.immediate)


def memory_forms(*, vex: bool = True) -> Iterator[Form]:
    """The forms with a memory operand at ECX; XLAT and the string instructions address it by EBX, ESI and EDI."""
    for row in ROWS:
        if "i64" in row.traits or (row.map not in ESCAPES and not vex):
            continue
        for opcode in row.opcodes:
            for prefix in row.prefixes:
                yield from _of(row, opcode, prefix)


def _of(row: Row, opcode: int, prefix: Prefix) -> Iterator[Form]:
    implicit = row.map is Map.ONE_BYTE and opcode in (*_STRINGS, *_OFFSETS, _XLAT)
    if row.modrm == "r" or (row.modrm == "-" and not implicit):
        return
    if row.map in ESCAPES:
        head = PREFIXES[prefix] + ESCAPES[row.map] + bytes([opcode])
    else:
        head = bytes([0xC4, 0xE2 if row.map is Map.VEX_38 else 0xE3, 0x78 | prefix, opcode])
    immediate = 8 if row.traits & _IMMEDIATES else 0
    if implicit:
        yield Form(row, opcode, prefix, 0, head, immediate)
        return
    all_alike = len(row.extensions) == 8 and not (row.map is Map.ONE_BYTE and opcode in _X87)
    for extension in row.extensions[:1] if all_alike else row.extensions:
        yield Form(row, opcode, prefix, extension, head + bytes([_ECX | extension << 3]), immediate)
