"""Novelty of a run: its place, its end and the opcode of its end."""

from collections.abc import Iterator

from tests.machine.fuzz.case import Case
from tests.machine.programs import layout
from tests.machine.programs.program import Mode, Result

_PREFIXES = frozenset(b"\x66\x67\xf0\xf2\xf3\x26\x2e\x36\x3e\x64\x65")
_GROUPS = frozenset(
    [0x80, 0x81, 0x83, 0x8F, 0xC0, 0xC1, 0xC6, 0xC7, *range(0xD0, 0xD4), *range(0xD8, 0xE0), 0xF6, 0xF7, 0xFE, 0xFF]
)
_GROUPS_0F = frozenset([0x00, 0x01, 0x18, 0x71, 0x72, 0x73, 0xAE, 0xBA, 0xC7])


def opcode(code: bytes, *, long: bool) -> str:
    """The map, the opcode and, if it extends the opcode, the reg field of ModRM, as text."""
    at = 0
    while at < len(code) and code[at] in _PREFIXES:
        at += 1
    if long and at < len(code) and code[at] & 0xF0 == 0x40:
        at += 1
    length = 1
    if code[at : at + 1] == b"\x0f":
        length = 3 if code[at + 1 : at + 2] in (b"\x38", b"\x3a") else 2
    found = code[at : at + length]
    groups = {1: _GROUPS, 2: _GROUPS_0F}.get(length, frozenset())
    modrm = code[at + length : at + length + 1]
    if found and found[-1] in groups and modrm:
        return f"{found.hex()}/{modrm[0] >> 3 & 7}{'m' if modrm[0] < 0xC0 else 'r'}"
    return found.hex()


def behaviours(case: Case, result: Result) -> Iterator[str]:
    """Names of what happened: the end with its opcode, and each piece executed."""
    state, code = case.state, b"".join(case.pieces)
    long = state.mode is Mode.LONG
    place = f"{state.mode.value} ring {state.ring}"
    how = result.end.value if result.vector is None else f"{result.vector}"
    at = result.registers["RIP"] - layout.CODE
    if result.vector is not None and 0 <= at < len(code):
        how += " " + opcode(code[at:], long=long)
    yield f"{place}: {how}"
    if result.vector is None:
        for piece in case.pieces:
            yield f"{place}: {opcode(piece, long=long)} passed"
