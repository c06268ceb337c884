"""Constants that exercise arithmetic: one decision picks one of 256 per type, the simple ones first."""

import struct

from enclave_sim.strategies.choice_bytes import Draw
from enclave_sim.strategies.wasm.instructions import F32, F64, I32, I64, SourceInstruction

_SMALL = 128
"""A decision below this is the constant itself."""
_RAW = 255
"""This decision reads all bytes of the constant from the tape."""
_EXTENDED = 160
"""Decisions from here on make a constant expression longer."""
_WIDTHS = {I32: 4, I64: 8, F32: 4, F64: 8}
_EDGES = (0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x5555_5555, 0x1234_5678)
_INTEGERS = {
    I32: (-1, -(1 << 31), *_EDGES, *(-edge for edge in _EDGES)),
    I64: (-1, -(1 << 63), (1 << 63) - 1, 1 << 31, 1 << 32, *_EDGES, *(-edge for edge in _EDGES)),
}
_NUMBERS = (-1.0, 0.5, -0.5, 1e-3, 2.0**31, -(2.0**31), 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e30)
_FLOATS = {
    F32: (0x8000_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_0000, 0x7FA0_0001, 1, 0x7F_FFFF, 0x7F7F_FFFF),
    F64: (1 << 63, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, 0xFFF8 << 48, 0x7FF4 << 48 | 1, 1, (0x7FF << 52) - 1),
}
"""Negative zero, infinities, NaNs (quiet, negative, signalling), subnormal and largest numbers."""


def _bits(type_: str, number: float) -> int:
    return int.from_bytes(struct.pack("<f" if type_ == F32 else "<d", number), "little")


def _table(type_: str) -> tuple[SourceInstruction, ...]:
    if type_ in _INTEGERS:
        simple, special = list(range(_SMALL)), _INTEGERS[type_]
    else:
        simple = [_bits(type_, float(number)) for number in range(_SMALL)]
        special = _FLOATS[type_] + tuple(_bits(type_, number) for number in _NUMBERS)
    values = simple + [special[i % len(special)] for i in range(_RAW - _SMALL)]
    return tuple(SourceInstruction(f"{type_}.const", (value,)) for value in values)


_TABLES = {type_: _table(type_) for type_ in _WIDTHS}


def constant_expression(draw: Draw, type_: str) -> tuple[SourceInstruction, ...]:
    """Draw a constant expression of that type; the constant 0 is the simplest."""
    written = [constant(draw, type_)]
    while type_ in _INTEGERS and (choice := draw()) >= _EXTENDED:
        written += (constant(draw, type_), SourceInstruction(f"{type_}.{('add', 'sub', 'mul')[choice % 3]}"))
    return tuple(written)


def constant(draw: Draw, type_: str) -> SourceInstruction:
    """Draw a constant of that type; 0 is the simplest."""
    choice = draw()
    if choice != _RAW:
        return _TABLES[type_][choice]
    raw = bytes(draw() for _ in range(_WIDTHS[type_]))
    return SourceInstruction(f"{type_}.const", (int.from_bytes(raw, "little", signed=type_ in _INTEGERS),))
