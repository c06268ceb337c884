"""The forms that no user-mode program can judge: ring 0 in 32-bit code, and 16-bit code in both rings.

Every opcode of the one-byte map and those of the 0F map that are system or integer instructions, with prefixes that
change sizes, lock or repeat. All others run alike in user mode, where the host's processor judges.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import (
    ADDRESS_SIZE,
    LEGACY_PREFIXES,
    LOCK,
    OPERAND_SIZE,
    Map,
    has_modrm,
    immediate_size,
)
from tests.oracle.enumeration.forms import Form


@dataclass(frozen=True)
class Place:
    """Where a program runs: its ring and its segments, by their names in layout.inc."""

    name: str
    ring: int
    bits: int
    code: str
    stack: str
    data: str


PLACES = (
    Place("ring 0, 32 bits", 0, 32, "CODE_0", "STACK_0", "DATA_0"),
    Place("ring 0, 16 bits", 0, 16, "CODE16_0", "STACK16_0", "DATA16_0"),
    Place("ring 1, 32 bits", 1, 32, "CODE_1", "STACK_1", "DATA_3"),
    Place("ring 3, 32 bits", 3, 32, "CODE_3", "STACK_3", "DATA_3"),
    Place("ring 3, 16 bits", 3, 16, "CODE16_3", "STACK16_3", "DATA16_3"),
)
PREFIXES = (b"", b"\x66", b"\x67", b"\xf0", b"\xf3", b"\x66\x67")
_X87 = frozenset([0x9B, *range(0xD8, 0xE0)])
_TWO_BYTE = frozenset(
    [
        *(*range(0x00, 0x0A), 0x0B, 0x0D, *range(0x18, 0x24), 0x30, 0x32, 0x34, 0x35, *range(0x40, 0x50)),
        *(*range(0x80, 0xA2), *range(0xA3, 0xAE), 0xAF, *range(0xB0, 0xC2), 0xC7, *range(0xC8, 0xD0), 0xFF),
    ]
)
_HLT = 0xF4


@dataclass(frozen=True)
class SystemForm:
    """A form in a place. `form` has the operand and address size of 32-bit code."""

    place: Place
    prefixes: bytes
    escape: bytes
    opcode: int
    extension: int | None
    register: bool

    @property
    def name(self) -> str:
        """The form in a few characters: `ring 0, 16 bits: 66.0F.01 /2 m`."""
        code = ".".join(part.hex().upper() for part in (self.prefixes, self.escape, bytes([self.opcode])) if part)
        operands = "" if self.extension is None else f" /{self.extension} {'r' if self.register else 'm'}"
        return f"{self.place.name}: {code}{operands}"

    @cached_property
    def narrow(self) -> bool:
        """Whether operands have 16 bits instead of 32."""
        return (OPERAND_SIZE in self.prefixes) is (self.place.bits == 32)

    @cached_property
    def narrow_address(self) -> bool:
        """Whether addresses have 16 bits."""
        return (ADDRESS_SIZE in self.prefixes) is (self.place.bits == 32)

    @cached_property
    def form(self) -> Form:
        sizes = bytes([OPERAND_SIZE] * self.narrow + [ADDRESS_SIZE] * self.narrow_address)
        others = bytes(byte for byte in self.prefixes if byte not in (OPERAND_SIZE, ADDRESS_SIZE))
        return Form(Mode.PROTECTED.value, sizes + others, self.escape, self.opcode, self.extension, self.register)

    @cached_property
    def immediate_size(self) -> int:
        """Bytes of the immediate operand."""
        form = self.form
        return immediate_size(Map(self.escape), self.opcode, self.extension or 0, form.prefixes, Mode.PROTECTED)


def forms() -> Iterator[SystemForm]:
    """All forms to be compared, in a fixed order."""
    return (form for form, reason in all_forms() if not reason)


def all_forms() -> Iterator[tuple[SystemForm, str]]:
    """Every form of the two maps, and why it is left out, if it is."""
    for place in PLACES:
        for table in (Map.ONE_BYTE, Map.TWO_BYTE):
            for opcode in range(256):
                if table is Map.ONE_BYTE and (opcode == 0x0F or opcode in LEGACY_PREFIXES):
                    continue
                if table is Map.TWO_BYTE and opcode in (0x38, 0x3A):
                    continue
                for prefixes in PREFIXES:
                    for extension, register in _classes(table, opcode):
                        reason = left_out(place, prefixes, table, opcode, extension or 0, register=register)
                        yield SystemForm(place, prefixes, table.value, opcode, extension, register), reason


def _classes(table: Map, opcode: int) -> Iterator[tuple[int | None, bool]]:
    """Values of the reg field, and whether r/m names a register."""
    if not has_modrm(table, opcode, Mode.PROTECTED):
        yield None, False
        return
    for extension in range(8):
        yield extension, False
        yield extension, True


def left_out(place: Place, prefixes: bytes, table: Map, opcode: int, extension: int, *, register: bool) -> str:
    """Why a form of the two maps is not compared here; empty if it is."""
    if table is Map.ONE_BYTE and opcode == _HLT and place.ring == 0:
        return "HLT in ring 0 ends the run"
    if (table is Map.ONE_BYTE and opcode in _X87) or (table is Map.TWO_BYTE and opcode not in _TWO_BYTE):
        return "x87, MMX, SSE, CPUID, time, nothing: the host's processor judges it in user mode, or the manual"
    if table is Map.TWO_BYTE and opcode == 0x01 and register and extension not in (4, 6):
        return "VMCALL to RDPKRU are not offered: #UD by the manual; Bochs has some"
    if table is Map.TWO_BYTE and opcode == 0xC7 and (extension != 1 or register):
        return "RDRAND, XSAVES and VMPTRLD are not offered: #UD by the manual; Bochs has some"
    if LOCK in prefixes and table is Map.TWO_BYTE and register and opcode in (0xA3, 0xAB, 0xB3, 0xBA, 0xBB):
        return "LOCK with BT, BTS, BTR or BTC of a register, which is #UD: QEMU 7.2 aborts while it translates it"
    return ""
