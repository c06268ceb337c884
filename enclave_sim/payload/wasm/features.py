"""The features that a module uses beyond the target Lime1, today's default of compilers.

Lime1 (WebAssembly tool-conventions, `Lime.md`) is WebAssembly 1.0 with mutable globals, multiple values, sign
extension, saturating conversions, extended constant expressions, MEMORY.COPY and MEMORY.FILL, and a table index of
CALL_INDIRECT that may be padded. The last two are parts of larger features, bulk memory and reference types, which
engines enable only as a whole. So this module searches for the rest of those: WebAssembly core specification, 5.3.1
(types), 5.4 (instructions), 5.5.12 and 5.5.14 (segments). Encodings without effect do not count: a data count section
(5.5.16), which compilers write with any data, and an active segment that names the only table or memory, which
assemblers write.

A regular expression matches runs of Lime1 instructions: it stops at other instructions, or at BR_TABLE, whose length is
not a regular language. A Python loop over instructions would take as long as their compilation.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from enclave_sim.payload.wasm.sections import SectionId, bodies, decode_u32, sections

if TYPE_CHECKING:
    from enclave_sim.payload.wasm.opcodes import Immediate, Opcode

BULK_MEMORY, REFERENCE_TYPES, FUNCTION_REFERENCES = "bulk-memory", "reference-types", "function references"
_INSTRUCTIONS = {
    **dict.fromkeys("memory.init data.drop table.init elem.drop table.copy".split(), BULK_MEMORY),
    **dict.fromkeys("table.get table.set table.grow table.size table.fill".split(), REFERENCE_TYPES),
    **dict.fromkeys("ref.null ref.is_null ref.func".split(), REFERENCE_TYPES),
}
"""Instructions beyond Lime1, except `select` with types."""
_CONSTANTS = frozenset("global.get ref.null ref.func i32.add i32.sub i32.mul i64.add i64.sub i64.mul".split())
"""Instructions of constant expressions beside those whose name ends in `.const`."""
_REFERENCES = {0x70: "funcref", 0x6F: "externref"}
_ACTIVE, _ACTIVE_AT = 0, 2
"""Kinds of segments: in WebAssembly 1.0, and the same with named table or memory, as written by assemblers."""
_NULLABLE = 0x63
"""Begins the long form of a reference type. Without function references, an engine may treat it as funcref."""


_SUSPICIOUS = frozenset([0x1C, 0x25, 0x26, 0xD0, 0xD1, 0xD2, 0xFC, *_REFERENCES, _NULLABLE])
"""The first bytes of `select` with types and of those instructions, and the reference types.

Code without them has no such instruction, and no block of a reference type. Small guests have none, so the table of
instructions is imported only for others.
"""


class Use(NamedTuple):
    """The use of a feature by a module."""

    feature: str
    what: str
    """A noun: an instruction, or a part of the module."""
    offset: int
    """Offset in the module."""


def features_beyond_lime1(module: bytes) -> dict[str, Use]:
    """Find a module's features beyond Lime1: bulk memory, reference types and features that these admit.

    Args:
        module: A valid module; nothing else is checked. It must import only functions.

    Returns:
        The first use of each feature, in order.
    """
    found: dict[str, Use] = {}
    for section in sections(module):
        if section.id in _SECTIONS:
            for use in _SECTIONS[section.id](module, section.offset + section.payload_at):
                found.setdefault(use.feature, use)
    return found


def _type(module: bytes, at: int, what: str) -> Generator[Use, None, int]:
    """Read a value type, and yield its use if it is a reference. Return the offset after it."""
    if module[at] in _REFERENCES:
        yield Use(REFERENCE_TYPES, f"{what} of type {_REFERENCES[module[at]]}", at)
    if module[at] != _NULLABLE:
        return at + 1
    yield Use(FUNCTION_REFERENCES, f"{what} of a type in its long form", at)
    return decode_u32(module, at + 1)[1]


def _types(module: bytes, at: int) -> Iterator[Use]:
    count, at = decode_u32(module, at)
    for _ in range(count):
        at += 1  # 60: a function type
        for what in ("a parameter", "a result"):
            length, at = decode_u32(module, at)
            for _ in range(length):
                at = yield from _type(module, at, what)


def _tables(module: bytes, at: int) -> Iterator[Use]:
    count, at = decode_u32(module, at)
    if count > 1:
        yield Use(REFERENCE_TYPES, f"{count} tables", at)
    for _ in range(count):
        if _REFERENCES.get(module[at]) == "funcref":
            at += 1
        else:
            at = yield from _type(module, at, "a table")
        limits = 2 if module[at] else 1
        at += 1
        for _ in range(limits):
            _, at = decode_u32(module, at)


def _globals(module: bytes, at: int) -> Iterator[Use]:
    count, at = decode_u32(module, at)
    for _ in range(count):
        at = yield from _type(module, at, "a global")
        at = _after_constant(module, at + 1)  # after the mutability


def _elements(module: bytes, at: int) -> Iterator[Use]:
    count, at = decode_u32(module, at)
    for _ in range(count):
        kind, after = decode_u32(module, at)
        if kind not in (_ACTIVE, _ACTIVE_AT):
            yield Use(BULK_MEMORY, "an element segment that is passive, declared, or of expressions", at)
            return
        at = _after_offset(module, kind, after) + (kind == _ACTIVE_AT)  # the kind of its elements
        length, at = decode_u32(module, at)
        for _ in range(length):
            _, at = decode_u32(module, at)


def _data(module: bytes, at: int) -> Iterator[Use]:
    count, at = decode_u32(module, at)
    for _ in range(count):
        kind, after = decode_u32(module, at)
        if kind not in (_ACTIVE, _ACTIVE_AT):
            yield Use(BULK_MEMORY, "a passive data segment", at)
            return
        length, at = decode_u32(module, _after_offset(module, kind, after))
        at += length


def _after_offset(module: bytes, kind: int, at: int) -> int:
    """Return the offset after the start of an active segment: an optional table or memory, and its offset."""
    if kind == _ACTIVE_AT:
        _, at = decode_u32(module, at)
    return _after_constant(module, at)


def _code(module: bytes, _at: int) -> Iterator[Use]:
    for body in bodies(module):
        groups, at = decode_u32(module, body.start)
        for _ in range(groups):
            _, at = decode_u32(module, at)
            at = yield from _type(module, at, "a local")
        if _SUSPICIOUS.isdisjoint(module[at : body.end]):
            continue
        while (at := _after(_lime1(), module, at)) < body.end:
            at = yield from _instruction(module, at)


def _instruction(module: bytes, at: int) -> Generator[Use, None, int]:
    """Read the instruction after a run of Lime1 instructions, and yield its use. Return the offset after it."""
    from enclave_sim.payload.wasm.disassembler import read_instruction  # noqa: PLC0415 - see `_SUSPICIOUS`
    from enclave_sim.payload.wasm.opcodes import OPCODES, Immediate  # noqa: PLC0415

    _, kind = OPCODES.get((module[at],), ("", None))
    if kind is Immediate.BLOCK_TYPE:
        return (yield from _type(module, at + 1, "a block"))
    if kind is Immediate.VALUE_TYPES:
        yield Use(REFERENCE_TYPES, "select with types", at)
        _, after = decode_u32(module, at + 1)
        return (yield from _type(module, after, "select"))
    name, _, _, after = read_instruction(module, at)
    if name in _INSTRUCTIONS:
        yield Use(_INSTRUCTIONS[name], name, at)
    return after


_SECTIONS: dict[int, Callable[[bytes, int], Iterator[Use]]] = {
    SectionId.TYPE: _types,
    SectionId.TABLE: _tables,
    SectionId.GLOBAL: _globals,
    SectionId.ELEMENT: _elements,
    SectionId.CODE: _code,
    SectionId.DATA: _data,
}

_INTEGER = rb"[\x80-\xff]*[\x00-\x7f]"
"""A LEB128 integer, padded or not."""


def _extents() -> "dict[Immediate, bytes]":
    """Return the patterns of immediates. In Lime1 a block type cannot be a reference."""
    from enclave_sim.payload.wasm.opcodes import Immediate  # noqa: PLC0415 - see `_SUSPICIOUS`

    return {
        Immediate.NOTHING: b"",
        **dict.fromkeys((Immediate.INDEX, Immediate.FUNCTION, Immediate.I32, Immediate.I64), _INTEGER),
        **dict.fromkeys((Immediate.MEMORY_ARGUMENT, Immediate.TYPE_AND_TABLE, Immediate.TWO_MEMORIES), _INTEGER * 2),
        **dict.fromkeys((Immediate.MEMORY, Immediate.HEAP_TYPE), _INTEGER),
        Immediate.BLOCK_TYPE: rb"(?:[\x00-\x40\x7b-\x7f]|[\x80-\xff]+[\x00-\x3f])",
        Immediate.F32: b".{4}",
        Immediate.F64: b".{8}",
        Immediate.MEMORY_ARGUMENT_AND_LANE: _INTEGER * 2 + b".",
        Immediate.LANE: b".",
        **dict.fromkeys((Immediate.V128, Immediate.LANES), b".{16}"),
    }


def _bytes(values: Iterable[int]) -> bytes:
    """Return a pattern of any of these bytes. Ranges are compiled in half the time."""
    ordered = sorted(values)
    firsts = [value for value in ordered if value - 1 not in ordered]
    lasts = [value for value in ordered if value + 1 not in ordered]
    return b"[%b]" % b"".join(b"\\x%02x-\\x%02x" % ends for ends in zip(firsts, lasts, strict=True))


def _opcodes(opcodes: "Iterable[Opcode]") -> list[bytes]:
    """Return few patterns of any of the opcodes. The number after a prefix may be padded."""
    from enclave_sim.payload.wasm.opcodes import encode_opcode  # noqa: PLC0415 - see `_SUSPICIOUS`

    last: dict[bytes, set[int]] = {}
    for opcode in opcodes:
        code = encode_opcode(opcode)
        last.setdefault(code[:-1], set()).add(code[-1])
    patterns = [_bytes(last.pop(b""))] if b"" in last else []
    alike: dict[tuple[bytes, frozenset[int]], list[int]] = {}
    for first, values in last.items():
        alike.setdefault((first[:-1], frozenset(values)), []).append(first[-1])
    for (first, same), following in alike.items():
        before = b"".join(_bytes([byte]) for byte in first) + _bytes(following)
        patterns.append(rb"%b(?:%b|%b\x80*\x00)" % (before, _bytes(same), _bytes(byte | 0x80 for byte in same)))
    return patterns


def _runs(included: Callable[[str], bool]) -> re.Pattern[bytes]:
    """Return a pattern of sequences of the named instructions.

    No instruction is a prefix of another, so nothing is tried twice. The match is bounded, because each repetition
    takes memory.
    """
    from enclave_sim.payload.wasm.opcodes import OPCODES  # noqa: PLC0415 - see `_SUSPICIOUS`

    by_extent: dict[bytes, list[Opcode]] = {}
    extents = _extents()
    for opcode, (name, kind) in OPCODES.items():
        extent = extents.get(kind)
        if extent is not None and included(name):
            by_extent.setdefault(extent, []).append(opcode)
    alternatives = [pattern + extent for extent, opcodes in by_extent.items() for pattern in _opcodes(opcodes)]
    return re.compile(b"(?:%b){1,512}" % b"|".join(alternatives), re.DOTALL)


def _after(pattern: re.Pattern[bytes], module: bytes, at: int) -> int:
    """Return the offset after the run of instructions at an offset, which may be empty."""
    while run := pattern.match(module, at):
        at = run.end()
    return at


def _after_constant(module: bytes, at: int) -> int:
    """Return the offset after a constant expression, which ends at the first END because it has no blocks."""
    return _after(_constants(), module, at) + 1


@cache  # and not at import: it takes longer than to start a run of a payload that is known
def _lime1() -> re.Pattern[bytes]:
    return _runs(lambda name: name not in _INSTRUCTIONS)


@cache
def _constants() -> re.Pattern[bytes]:
    return _runs(lambda name: name.endswith(".const") or name in _CONSTANTS)
