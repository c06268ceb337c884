"""The instructions of the guest profile as data: names, opcodes, types (WebAssembly core specification, 5.4, 2.4).

WebAssembly 1.0 with sign extension, saturating conversions and multiple values. An instruction is its name and its
immediates, all of them integers: a float is its bits, a block type is its encoding as a signed integer.
"""

from typing import NamedTuple

I32, I64, F32, F64 = "i32", "i64", "f32", "f64"
VALUE_TYPES = (I32, I64, F32, F64)
TYPE_CODES = {I32: 0x7F, I64: 0x7E, F32: 0x7D, F64: 0x7C}
EMPTY = -64
"""The block type without parameters and results."""
BLOCK_RESULTS = {I32: -1, I64: -2, F32: -3, F64: -4}
"""The block types with one result. A block type of 0 or more is the index of a function type."""


class Instruction(NamedTuple):
    """One instruction."""

    name: str
    immediates: tuple[int, ...] = ()


class Operator(NamedTuple):
    """A numeric instruction: takes its operands from the stack, leaves its result there, has no immediates."""

    opcode: bytes
    operands: tuple[str, ...]
    result: str


class Access(NamedTuple):
    """A load or store of `1 << alignment` bytes; `type` is that of the value loaded or stored."""

    opcode: bytes
    type: str
    alignment: int


_UNARY = frozenset("eqz clz ctz popcnt abs neg ceil floor trunc nearest sqrt extend8_s extend16_s extend32_s".split())
_COMPARISONS = frozenset("eqz eq ne lt gt le ge lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split())
_ORDER = "eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
_FLOAT_ORDER = "eq ne lt gt le ge"
_INTEGER = "clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
_FLOAT = "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"
_TRUNCATIONS = "f32_s f32_u f64_s f64_u"
_RUNS = (
    (0x45, I32, _ORDER),
    (0x50, I64, _ORDER),
    (0x5B, F32, _FLOAT_ORDER),
    (0x61, F64, _FLOAT_ORDER),
    (0x67, I32, _INTEGER),
    (0x79, I64, _INTEGER),
    (0x8B, F32, _FLOAT),
    (0x99, F64, _FLOAT),
    (0xA7, I32, "wrap_i64 trunc_f32_s trunc_f32_u trunc_f64_s trunc_f64_u"),
    (0xAC, I64, "extend_i32_s extend_i32_u trunc_f32_s trunc_f32_u trunc_f64_s trunc_f64_u"),
    (0xB2, F32, "convert_i32_s convert_i32_u convert_i64_s convert_i64_u demote_f64"),
    (0xB7, F64, "convert_i32_s convert_i32_u convert_i64_s convert_i64_u promote_f32"),
    (0xBC, I32, "reinterpret_f32"),
    (0xBD, I64, "reinterpret_f64"),
    (0xBE, F32, "reinterpret_i32"),
    (0xBF, F64, "reinterpret_i64"),
    (0xC0, I32, "extend8_s extend16_s"),
    (0xC2, I64, "extend8_s extend16_s extend32_s"),
)
"""First opcode, type in front of the dot, operations of the opcodes that follow each other."""
_SATURATING = ((0, I32), (4, I64))


def _operator(opcode: bytes, own: str, operation: str) -> Operator:
    source = next((kind for kind in VALUE_TYPES if f"_{kind}" in operation), None)
    if source is not None:
        return Operator(opcode, (source,), own)
    operands = (own,) if operation in _UNARY else (own, own)
    return Operator(opcode, operands, I32 if operation in _COMPARISONS else own)


OPERATORS: dict[str, Operator] = {
    f"{own}.{operation}": _operator(bytes([first + i]), own, operation)
    for first, own, operations in _RUNS
    for i, operation in enumerate(operations.split())
} | {
    f"{own}.trunc_sat_{source}": _operator(bytes([0xFC, first + i]), own, f"trunc_sat_{source}")
    for first, own in _SATURATING
    for i, source in enumerate(_TRUNCATIONS.split())
}
_ACCESSES = (
    "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s i64.load8_u "
    "i64.load16_s i64.load16_u i64.load32_s i64.load32_u i32.store i64.store f32.store f64.store i32.store8 "
    "i32.store16 i64.store8 i64.store16 i64.store32"
)
_ALIGNMENTS = {"8": 0, "16": 1, "32": 2, "": None}


def _access(index: int, name: str) -> Access:
    own, operation = name.split(".")
    narrow = _ALIGNMENTS["".join(c for c in operation if c.isdigit())]
    return Access(bytes([0x28 + index]), own, narrow if narrow is not None else 2 if own.endswith("32") else 3)


ACCESSES: dict[str, Access] = {name: _access(i, name) for i, name in enumerate(_ACCESSES.split())}
LOADS = {name: access for name, access in ACCESSES.items() if ".load" in name}
STORES = {name: access for name, access in ACCESSES.items() if ".store" in name}
OTHERS: dict[str, tuple[bytes, str]] = {
    "unreachable": (b"\x00", ""),
    "nop": (b"\x01", ""),
    "block": (b"\x02", "block"),
    "loop": (b"\x03", "block"),
    "if": (b"\x04", "block"),
    "else": (b"\x05", ""),
    "end": (b"\x0b", ""),
    "br": (b"\x0c", "index"),
    "br_if": (b"\x0d", "index"),
    "br_table": (b"\x0e", "table"),
    "return": (b"\x0f", ""),
    "call": (b"\x10", "index"),
    "call_indirect": (b"\x11", "indirect"),
    "drop": (b"\x1a", ""),
    "select": (b"\x1b", ""),
    "local.get": (b"\x20", "index"),
    "local.set": (b"\x21", "index"),
    "local.tee": (b"\x22", "index"),
    "global.get": (b"\x23", "index"),
    "global.set": (b"\x24", "index"),
    "memory.size": (b"\x3f\x00", ""),
    "memory.grow": (b"\x40\x00", ""),
    "i32.const": (b"\x41", "signed"),
    "i64.const": (b"\x42", "signed"),
    "f32.const": (b"\x43", "f32"),
    "f64.const": (b"\x44", "f64"),
}
"""Every other instruction: its opcode and how its immediates are encoded."""
NAMES = (*OTHERS, *ACCESSES, *OPERATORS)
"""Every instruction of the profile."""
