"""The kernels of a student: the built-in image, in which annihilation scrubs a region except some of its lines.

No compiler is needed: base and size of every scrub are immediate operands, which are replaced.
"""

from dataclasses import dataclass
from functools import cached_property

import msgspec

from enclave_sim.labs.case import Case
from enclave_sim.labs.kernel import offset_of
from enclave_sim.memory_map import region
from firmware import Firmware, built_in

LETTERS = "abcde"
TRACED = "kernel_stack"
"""The region that every student has among theirs, and for which the writer is asked."""
_LINE = 64
_AT_START = frozenset(("staging", "arena"))
"""Regions whose first bytes are left; of the others the last ones are."""
_LINES = {
    "nmi_stack": 16,
    "guest_stack": 64,
    "call_stack": 64,
    "kernel_stack": 64,
    "arena": 64,
    "staging": 48,
    "heap": 64,
}
"""The regions, each with the maximum number of lines left."""
_BY_CALL = (b"\xbf", b"\xbe")
"""MOV EDI, imm32 and MOV ESI, imm32: the arguments of scrub()."""
_BY_STORE = (bytes.fromhex("c78320010000"), bytes.fromhex("c78324010000"))
"""MOV dword [RBX+120h], imm32 and [RBX+124h]: the channel of the scrub engine."""


@dataclass(frozen=True)
class Variant:
    """One kernel."""

    letter: str
    region: str
    lines: int

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.letter}.elf"

    @property
    def missing(self) -> range:
        """The addresses that annihilation does not scrub."""
        where, size = region(self.region), self.lines * _LINE
        return range(where.base, where.base + size) if self.region in _AT_START else range(where.end - size, where.end)

    @cached_property
    def firmware(self) -> Firmware:
        """The kernel."""
        where = region(self.region)
        size = where.size - len(self.missing)
        base = where.base + len(self.missing) if self.region in _AT_START else where.base
        return msgspec.structs.replace(built_in(), image=_replaced((where.base, where.size), (base, size)))


def variants(case: Case) -> tuple[Variant, ...]:
    """Return the kernels of a case."""
    others = [name for name in _LINES if name != TRACED]
    chosen = case.sample("regions", [TRACED, *case.sample("others", others, 4)], 5)
    return tuple(
        Variant(letter, name, case.number(f"lines of {letter}", 2, _LINES[name]))
        for letter, name in zip(LETTERS, chosen, strict=True)
    )


def _replaced(old: tuple[int, int], new: tuple[int, int]) -> bytes:
    """Return the built-in image with other operands in annihilation's scrub of a range."""
    image, symbols = bytearray(built_in().image), built_in().symbols
    for function, forms in (("annihilate", _BY_CALL), ("fall_dormant", _BY_STORE)):
        start = offset_of(symbols[function])
        at = image.find(_operands(forms, old), start, start + 0x400)
        if at >= 0:
            found = _operands(forms, new)
            image[at : at + len(found)] = found
            return bytes(image)
    raise ValueError(f"the built-in kernel has no scrub of {old[0]:#x}")


def _operands(forms: tuple[bytes, bytes], values: tuple[int, int]) -> bytes:
    return b"".join(form + value.to_bytes(4, "little") for form, value in zip(forms, values, strict=True))
