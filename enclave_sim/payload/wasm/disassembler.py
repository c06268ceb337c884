"""Disassembles WebAssembly function bodies into the text format.

WebAssembly core specification, 5.4 (instructions), 5.5.13 (code section) and 6.5 (text format). The module must be
valid: only unknown instructions raise MalformedModule, and nothing else is checked.
"""

import math
import struct
from collections.abc import Callable, Iterator

import msgspec

from enclave_sim.payload.errors import MalformedModule
from enclave_sim.payload.wasm.opcodes import (
    EMPTY_BLOCK,
    NUMERIC_PREFIX,
    OPCODES,
    TYPES,
    VECTOR_PREFIX,
    Immediate,
    Opcode,
    natural_alignment,
)
from enclave_sim.payload.wasm.sections import Body, decode_u32

_BLOCK_TYPES = {EMPTY_BLOCK: "", **{code: f"(result {name})" for code, name in TYPES.items()}}


class WasmInstruction(msgspec.Struct, frozen=True):
    """One instruction of a function."""

    offset: int
    """Byte offset in the module."""
    name: str
    operands: str
    """Operands as in the text format; functions by their index."""
    function: int | None
    """Index of the function that it names, or None."""
    depth: int
    """Number of enclosing blocks."""

    @property
    def text(self) -> str:
        """Name and operands."""
        return f"{self.name} {self.operands}".rstrip()


def first_instruction(module: bytes, body: Body) -> int:
    """Return the offset of the first instruction, after the locals. Raises MalformedModule."""
    groups, at = decode_u32(module, body.start)
    for _ in range(groups):
        _, at = decode_u32(module, at)
        at += 1
    return at


def disassembly(module: bytes, body: Body) -> Iterator[WasmInstruction]:
    """Iterate over the instructions of a function, including the last `end`. Raises MalformedModule."""
    at, depth = first_instruction(module, body), 0
    while at < body.end:
        offset = at
        name, kind, operands, at = read_instruction(module, offset)
        if kind in (Immediate.MEMORY_ARGUMENT, Immediate.MEMORY_ARGUMENT_AND_LANE):
            operands = " ".join(word for word in operands.split() if word != f"align={natural_alignment(name)}")
        if name in ("end", "else"):
            depth -= 1
        function = int(operands) if kind is Immediate.FUNCTION else None
        yield WasmInstruction(offset, name, operands, function, max(depth, 0))
        if name == "else" or kind is Immediate.BLOCK_TYPE:
            depth += 1


def read_instruction(module: bytes, offset: int) -> tuple[str, Immediate, str, int]:
    """Return the name, kind of immediates, operands and end of the instruction at `offset`. Raises MalformedModule."""
    opcode: Opcode = (module[offset],)
    at = offset + 1
    if opcode[0] in (NUMERIC_PREFIX, VECTOR_PREFIX):
        number, at = decode_u32(module, at)
        opcode = (*opcode, number)
    name, kind = _known(opcode, offset)
    return name, kind, *_READERS[kind](module, at)


def _known(opcode: Opcode, offset: int) -> tuple[str, Immediate]:
    if opcode not in OPCODES:
        raise MalformedModule(offset, offset, f"{' '.join(map(hex, opcode))} is not an instruction of a guest")
    return OPCODES[opcode]


def _signed(module: bytes, at: int) -> tuple[int, int]:
    """Return a signed LEB128 integer, and the offset after it."""
    value = shift = 0
    while True:
        byte = module[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (value - (1 << shift) if byte >= 0x40 else value), at


def _indices(count: int, form: str = "{}") -> Callable[[bytes, int], tuple[str, int]]:
    """Return a function that reads and formats `count` indices."""

    def read(module: bytes, at: int) -> tuple[str, int]:
        found = []
        for _ in range(count):
            value, at = decode_u32(module, at)
            found.append(value)
        return form.format(*found), at

    return read


def _labels(module: bytes, at: int) -> tuple[str, int]:
    count, at = decode_u32(module, at)
    return _indices(count + 1, " ".join(["{}"] * (count + 1)))(module, at)


def _block_type(module: bytes, at: int) -> tuple[str, int]:
    value, at = _signed(module, at)
    return (f"(type {value})" if value >= 0 else _BLOCK_TYPES[value]), at


def _value_types(module: bytes, at: int) -> tuple[str, int]:
    count, at = decode_u32(module, at)
    found = []
    for _ in range(count):
        value, at = _signed(module, at)
        found.append(TYPES[value])
    return f"(result {' '.join(found)})", at


def _heap_type(module: bytes, at: int) -> tuple[str, int]:
    value, at = _signed(module, at)
    return TYPES[value].removesuffix("ref"), at


def _memory_argument(module: bytes, at: int) -> tuple[str, int]:
    exponent, at = decode_u32(module, at)
    offset, at = decode_u32(module, at)
    return f"{f'offset={offset} ' if offset else ''}align={1 << exponent}", at


def _memory_argument_and_lane(module: bytes, at: int) -> tuple[str, int]:
    text, at = _memory_argument(module, at)
    return f"{text} {module[at]}", at + 1


def _integer(module: bytes, at: int) -> tuple[str, int]:
    value, at = _signed(module, at)
    return str(value), at


def _float(size: int, form: str, digits: int, mantissa: int) -> Callable[[bytes, int], tuple[str, int]]:
    def read(module: bytes, at: int) -> tuple[str, int]:
        raw = int.from_bytes(module[at : at + size], "little")
        value: float = struct.unpack_from(form, module, at)[0]
        if math.isnan(value):
            sign = "-" if raw >> (8 * size - 1) else ""
            return f"{sign}nan:{raw & ((1 << mantissa) - 1):#x}", at + size
        return f"{value:.{digits}g}", at + size

    return read


def _bytes(prefix: str) -> Callable[[bytes, int], tuple[str, int]]:
    def read(module: bytes, at: int) -> tuple[str, int]:
        return prefix + " ".join(map(str, module[at : at + 16])), at + 16

    return read


_READERS: dict[Immediate, Callable[[bytes, int], tuple[str, int]]] = {
    Immediate.NOTHING: lambda _module, at: ("", at),
    Immediate.BLOCK_TYPE: _block_type,
    Immediate.INDEX: _indices(1),
    Immediate.FUNCTION: _indices(1),
    Immediate.LABELS: _labels,
    Immediate.TYPE_AND_TABLE: _indices(2, "{1} (type {0})"),
    Immediate.VALUE_TYPES: _value_types,
    Immediate.MEMORY_ARGUMENT: _memory_argument,
    Immediate.MEMORY_ARGUMENT_AND_LANE: _memory_argument_and_lane,
    Immediate.MEMORY: _indices(1, ""),
    Immediate.TWO_MEMORIES: _indices(2, ""),
    Immediate.DATA_AND_MEMORY: _indices(2),
    Immediate.ELEMENT_AND_TABLE: _indices(2, "{1} {0}"),
    Immediate.TWO_TABLES: _indices(2, "{} {}"),
    Immediate.I32: _integer,
    Immediate.I64: _integer,
    Immediate.F32: _float(4, "<f", 9, 23),
    Immediate.F64: _float(8, "<d", 17, 52),
    Immediate.V128: _bytes("i8x16 "),
    Immediate.LANE: lambda module, at: (str(module[at]), at + 1),
    Immediate.LANES: _bytes(""),
    Immediate.HEAP_TYPE: _heap_type,
}
