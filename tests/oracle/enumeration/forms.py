"""The enumeration: every opcode of every map, with each prefix and each class of ModRM byte, in each mode.

A *form* is one such combination. It need not be an instruction: if it is not, it must raise #UD.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import LEGACY_PREFIXES, Map, has_modrm

PREFIXES = (
    *(b"", b"\x66", b"\xf2", b"\xf3", b"\xf0", b"\x67", b"\x26", b"\x64", b"\x65"),
    *(b"\x66\xf2", b"\x66\xf3", b"\x66\xf0", b"\x66\x67"),
)
"""Prefixes of all modes, including mandatory ones."""
REX_PREFIXES = (
    *(b"\x40", b"\x48", b"\x4f", b"\x66\x40", b"\x66\x48", b"\xf2\x48", b"\xf3\x48", b"\xf0\x48"),
    *(b"\x66\xf2\x48", b"\xf2\x4f", b"\xf3\x4f"),
)
"""Prefixes of 64-bit mode only: REX by itself, REX.W, and all four bits."""
VEX = frozenset([0xC4, 0xC5])
_FIRST_OF_BMI = 0xF0


@dataclass(frozen=True, order=True)
class Form:
    """An opcode with its prefixes and the class of its operands."""

    mode: str
    """A value of `Mode`."""
    prefixes: bytes
    escape: bytes
    """A value of `Map`, or a VEX prefix."""
    opcode: int
    extension: int | None
    """The reg field of ModRM; None without a ModRM byte."""
    register: bool
    """Whether the r/m field names a register."""

    @property
    def name(self) -> str:
        """The form in a few characters: `64 66.0F38.F6 /2 m`."""
        code = ".".join(part.hex().upper() for part in (self.prefixes, self.escape, bytes([self.opcode])) if part)
        operands = "" if self.extension is None else f" /{self.extension} {'r' if self.register else 'm'}"
        return f"{self.mode} {code}{operands}"

    @property
    def vex(self) -> bool:
        """Whether it is encoded by VEX."""
        return bool(self.escape) and self.escape[0] in VEX


def forms(mode: Mode) -> Iterator[Form]:
    """All forms of a mode, in a fixed order."""
    prefixes = PREFIXES + (REX_PREFIXES if mode is Mode.LONG else ())
    for table in Map:
        for opcode in range(256):
            if not _leads_elsewhere(table, opcode, mode):
                for prefix in prefixes:
                    yield from _classes(mode, prefix, table, opcode)
    yield from _vex_forms(mode)


def _leads_elsewhere(table: Map, opcode: int, mode: Mode) -> bool:
    """Escapes and prefixes are not opcodes of their map."""
    if table is Map.TWO_BYTE:
        return opcode in (0x38, 0x3A)
    rex = mode is Mode.LONG and opcode & 0xF0 == 0x40
    return table is Map.ONE_BYTE and (opcode == 0x0F or opcode in LEGACY_PREFIXES or rex)


def _classes(mode: Mode, prefixes: bytes, table: Map, opcode: int) -> Iterator[Form]:
    if not has_modrm(table, opcode, mode):
        yield Form(mode.value, prefixes, table.value, opcode, None, False)
        return
    for extension in range(8):
        for register in (False, True):
            yield Form(mode.value, prefixes, table.value, opcode, extension, register)


def _vex_forms(mode: Mode) -> Iterator[Form]:
    """Three-byte VEX: maps 0F38 and 0F3A with each W, L and mandatory prefix; vvvv names register 0.

    The rows of BMI1 and BMI2 have each reg field, and also prefixes that VEX does not allow.
    """
    for table in (2, 3):
        for last in range(16):  # W, L, pp
            escape = bytes([0xC4, 0xE0 | table, (last & 8) << 4 | 0x78 | (last & 4) | last & 3])
            for opcode in range(256):
                for extension in range(8) if opcode >= _FIRST_OF_BMI else (opcode & 7,):
                    for register in (False, True):
                        yield Form(mode.value, b"", escape, opcode, extension, register)
            for opcode in range(_FIRST_OF_BMI, 256):
                for prefix in (
                    b"\x66",
                    b"\xf2",
                    b"\xf3",
                    b"\xf0",
                    b"\x67",
                    b"\x64",
                    *([b"\x48"] if mode is Mode.LONG else []),
                ):
                    yield Form(mode.value, prefix, escape, opcode, opcode & 7, True)
