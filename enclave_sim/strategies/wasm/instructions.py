"""The instructions of the guest profile by name, with their types (WebAssembly core specification, 2.4).

That is the target Lime1 (`enclave_sim.payload.wasm.features`). An instruction is its name and its immediates, all
integers: a float is its bits, a block type its encoding as a signed integer.
"""

from typing import NamedTuple

from enclave_sim.payload.wasm.opcodes import (
    EMPTY_BLOCK,
    NUMERIC_PREFIX,
    OPCODES,
    TYPES,
    Immediate,
    encode_opcode,
    natural_alignment,
)

I32, I64, F32, F64 = "i32", "i64", "f32", "f64"
VALUE_TYPES = (I32, I64, F32, F64)
BLOCK_RESULTS = {kind: code for code, kind in TYPES.items() if kind in VALUE_TYPES}
"""The block types with one result. A block type of 0 or more is the index of a function type."""
TYPE_CODES = {kind: code & 0x7F for kind, code in BLOCK_RESULTS.items()}
EMPTY = EMPTY_BLOCK


class SourceInstruction(NamedTuple):
    """An instruction of a `ModuleSource`."""

    name: str
    immediates: tuple[int, ...] = ()


class Operator(NamedTuple):
    """A numeric instruction. It pops its operands, pushes its result, and has no immediates."""

    operands: tuple[str, ...]
    result: str


class MemoryInstruction(NamedTuple):
    """A load or store of `1 << alignment` bytes; `type` is the type of the loaded or stored value."""

    type: str
    alignment: int


_UNARY = frozenset("eqz clz ctz popcnt abs neg ceil floor trunc nearest sqrt extend8_s extend16_s extend32_s".split())
_COMPARISONS = frozenset("eqz eq ne lt gt le ge lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split())
_SATURATING = tuple((NUMERIC_PREFIX, number) for number in range(8))


def _operator(name: str) -> Operator:
    own, operation = name.split(".")
    source = next((kind for kind in VALUE_TYPES if f"_{kind}" in operation), None)
    if source is not None:
        return Operator((source,), own)
    operands = (own,) if operation in _UNARY else (own, own)
    return Operator(operands, I32 if operation in _COMPARISONS else own)


def _access(name: str) -> MemoryInstruction:
    return MemoryInstruction(name.partition(".")[0], natural_alignment(name).bit_length() - 1)


OPERATORS: dict[str, Operator] = {
    name: _operator(name)
    for opcode, (name, immediate) in OPCODES.items()
    if immediate is Immediate.NOTHING and (0x45 <= opcode[0] <= 0xC4 or opcode in _SATURATING)
}
ACCESSES: dict[str, MemoryInstruction] = {
    name: _access(name)
    for opcode, (name, immediate) in OPCODES.items()
    if immediate is Immediate.MEMORY_ARGUMENT and len(opcode) == 1
}
LOADS = {name: access for name, access in ACCESSES.items() if ".load" in name}
STORES = {name: access for name, access in ACCESSES.items() if ".store" in name}
_OTHERS = (
    "unreachable nop block loop if else end br br_if br_table return call call_indirect drop select "
    "local.get local.set local.tee global.get global.set memory.size memory.grow memory.copy memory.fill "
    "i32.const i64.const f32.const f64.const"
).split()
NAMES = (*_OTHERS, *ACCESSES, *OPERATORS)
"""Every instruction of the profile."""
ENCODINGS: dict[str, tuple[bytes, Immediate]] = {
    name: (encode_opcode(opcode), immediate)
    for opcode, (name, immediate) in OPCODES.items()
    if name in NAMES and immediate is not Immediate.VALUE_TYPES
}
"""The opcode of each, and the encoding of its immediates. The profile has `select` only without types."""
