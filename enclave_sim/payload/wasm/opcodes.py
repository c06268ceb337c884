"""WebAssembly instructions by opcode, with the kind of their immediates, and type codes.

WebAssembly core specification, 5.4 (binary format of instructions) and its index of instructions: version 1.0 with sign
extension, saturating conversion, bulk memory, reference types and SIMD. A guest can use no others, and by default fewer
(`features.py`).
"""

import re
from enum import Enum, auto

from enclave_sim.payload.wasm.sections import encode_u32

TYPES = {-1: "i32", -2: "i64", -3: "f32", -4: "f64", -5: "v128", -16: "funcref", -17: "externref"}
"""Value types (5.3.1) by their code as a signed integer of seven bits, as in a block type (5.4.1)."""
EMPTY_BLOCK = -64
"""The block type without parameters and results."""
_BYTES = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}
_WIDTH = re.compile(r"(?:load|store)(\d+)(?:x(\d+))?")


class Immediate(Enum):
    """Kinds of immediates, which follow an opcode."""

    NOTHING = auto()
    BLOCK_TYPE = auto()
    INDEX = auto()
    """The index of a local, global, label, table, element or data segment."""
    FUNCTION = auto()
    LABELS = auto()
    """The labels of `br_table`."""
    TYPE_AND_TABLE = auto()
    VALUE_TYPES = auto()
    MEMORY_ARGUMENT = auto()
    MEMORY_ARGUMENT_AND_LANE = auto()
    MEMORY = auto()
    """The index of a memory, which is 0."""
    TWO_MEMORIES = auto()
    DATA_AND_MEMORY = auto()
    ELEMENT_AND_TABLE = auto()
    TWO_TABLES = auto()
    I32 = auto()
    I64 = auto()
    F32 = auto()
    F64 = auto()
    V128 = auto()
    LANE = auto()
    LANES = auto()
    """The lanes of `i8x16.shuffle`."""
    HEAP_TYPE = auto()


Opcode = tuple[int, ...]
"""One byte, or a prefix byte and the number after it."""

NUMERIC_PREFIX, VECTOR_PREFIX = 0xFC, 0xFD
_INTEGER = "clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
_FLOAT = "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"
_COMPARED = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
_FLOATS_COMPARED = "eq ne lt gt le ge"
_LOADED = "load8_s load8_u load16_s load16_u"


def _of(kind: str, names: str) -> str:
    """The names prefixed with their type; `-` is not an instruction."""
    return " ".join(name if name == "-" else f"{kind}.{name}" for name in names.split())


_LOADS = (
    "i32.load i64.load f32.load f64.load",
    *(_of("i32", _LOADED), _of("i64", _LOADED), "i64.load32_s i64.load32_u"),
    "i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32",
)
_NUMERIC = (
    *("i32.eqz", _of("i32", _COMPARED), "i64.eqz", _of("i64", _COMPARED)),
    *(_of("f32", _FLOATS_COMPARED), _of("f64", _FLOATS_COMPARED)),
    *(_of("i32", _INTEGER), _of("i64", _INTEGER), _of("f32", _FLOAT), _of("f64", _FLOAT)),
    "i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u",
    "i64.extend_i32_s i64.extend_i32_u i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u",
    "f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64",
    "f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32",
    "i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64",
    "i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s",
)
_SATURATING = (
    "i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u",
    "i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u",
)
_VECTOR_LOADS = _of(
    "v128",
    "load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u "
    "load8_splat load16_splat load32_splat load64_splat store",
)
_SPLATS = "i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat"
_LANES = " ".join(
    _of(
        shape,
        "extract_lane_s extract_lane_u replace_lane" if shape in ("i8x16", "i16x8") else "extract_lane replace_lane",
    )
    for shape in ("i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2")
)
_SHIFTED = "shl shr_s shr_u add"
_SATURATED = "add_sat_s add_sat_u sub sub_sat_s sub_sat_u"
_LIMITS = "min_s min_u max_s max_u"
_VECTOR_FLOAT = "abs neg - sqrt add sub mul div min max pmin pmax"
_VECTOR_COMPARED = (
    *(_of(shape, _COMPARED) for shape in ("i8x16", "i16x8", "i32x4")),
    *(_of("f32x4", _FLOATS_COMPARED), _of("f64x2", _FLOATS_COMPARED)),
    _of("v128", "not and andnot or xor bitselect any_true"),
)


def _widened(name: str, narrow: str) -> str:
    return f"{name}_low_{narrow}_s {name}_high_{narrow}_s {name}_low_{narrow}_u {name}_high_{narrow}_u"


_VECTOR = (
    "f32x4.demote_f64x2_zero f64x2.promote_low_f32x4",
    _of("i8x16", "abs neg popcnt all_true bitmask narrow_i16x8_s narrow_i16x8_u"),
    _of("f32x4", "ceil floor trunc nearest"),
    _of("i8x16", f"{_SHIFTED} {_SATURATED}"),
    *("f64x2.ceil f64x2.floor", _of("i8x16", _LIMITS), "f64x2.trunc i8x16.avgr_u"),
    _of("i16x8", "extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u"),
    _of("i32x4", "extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u"),
    _of("i16x8", "abs neg q15mulr_sat_s all_true bitmask narrow_i32x4_s narrow_i32x4_u"),
    _of("i16x8", f"{_widened('extend', 'i8x16')} {_SHIFTED} {_SATURATED}"),
    *("f64x2.nearest", _of("i16x8", f"mul {_LIMITS} - avgr_u {_widened('extmul', 'i8x16')}")),
    _of("i32x4", f"abs neg - all_true bitmask - - {_widened('extend', 'i16x8')} {_SHIFTED} - - sub - - - mul"),
    _of("i32x4", f"{_LIMITS} dot_i16x8_s - {_widened('extmul', 'i16x8')}"),
    _of("i64x2", f"abs neg - all_true bitmask - - {_widened('extend', 'i32x4')} {_SHIFTED} - - sub - - - mul"),
    _of("i64x2", f"eq ne lt_s gt_s le_s ge_s {_widened('extmul', 'i32x4')}"),
    *(_of("f32x4", _VECTOR_FLOAT), _of("f64x2", _VECTOR_FLOAT)),
    "i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u",
    "i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u",
)


def _table() -> dict[Opcode, tuple[str, Immediate]]:
    found: dict[Opcode, tuple[str, Immediate]] = {}

    def put(first: int, names: str, immediate: Immediate = Immediate.NOTHING, prefix: Opcode = ()) -> None:
        for opcode, name in enumerate(names.split(), first):
            if name != "-":
                found[*prefix, opcode] = (name, immediate)

    put(0x00, "unreachable nop")
    put(0x02, "block loop if", Immediate.BLOCK_TYPE)
    put(0x05, "else - - - - - end")
    put(0x0C, "br br_if", Immediate.INDEX)
    put(0x0E, "br_table", Immediate.LABELS)
    put(0x0F, "return")
    put(0x10, "call", Immediate.FUNCTION)
    put(0x11, "call_indirect", Immediate.TYPE_AND_TABLE)
    put(0x1A, "drop select")
    put(0x1C, "select", Immediate.VALUE_TYPES)
    put(0x20, "local.get local.set local.tee global.get global.set table.get table.set", Immediate.INDEX)
    put(0x28, " ".join(_LOADS), Immediate.MEMORY_ARGUMENT)
    put(0x3F, "memory.size memory.grow", Immediate.MEMORY)
    for opcode, kind in enumerate((Immediate.I32, Immediate.I64, Immediate.F32, Immediate.F64), 0x41):
        put(opcode, f"{kind.name.lower()}.const", kind)
    put(0x45, " ".join(_NUMERIC))
    put(0xD0, "ref.null", Immediate.HEAP_TYPE)
    put(0xD1, "ref.is_null")
    put(0xD2, "ref.func", Immediate.FUNCTION)
    numeric, vector = (NUMERIC_PREFIX,), (VECTOR_PREFIX,)
    put(0, " ".join(_SATURATING), prefix=numeric)
    put(8, "memory.init", Immediate.DATA_AND_MEMORY, numeric)
    put(9, "data.drop", Immediate.INDEX, numeric)
    put(10, "memory.copy", Immediate.TWO_MEMORIES, numeric)
    put(11, "memory.fill", Immediate.MEMORY, numeric)
    put(12, "table.init", Immediate.ELEMENT_AND_TABLE, numeric)
    put(13, "elem.drop", Immediate.INDEX, numeric)
    put(14, "table.copy", Immediate.TWO_TABLES, numeric)
    put(15, "table.grow table.size table.fill", Immediate.INDEX, numeric)
    put(0, _VECTOR_LOADS, Immediate.MEMORY_ARGUMENT, vector)
    put(12, "v128.const", Immediate.V128, vector)
    put(13, "i8x16.shuffle", Immediate.LANES, vector)
    put(14, f"i8x16.swizzle {_SPLATS}", prefix=vector)
    put(21, _LANES, Immediate.LANE, vector)
    put(35, " ".join(_VECTOR_COMPARED), prefix=vector)
    lanes = "load8_lane load16_lane load32_lane load64_lane store8_lane store16_lane store32_lane store64_lane"
    put(84, _of("v128", lanes), Immediate.MEMORY_ARGUMENT_AND_LANE, vector)
    put(92, "v128.load32_zero v128.load64_zero", Immediate.MEMORY_ARGUMENT, vector)
    put(94, " ".join(_VECTOR), prefix=vector)
    return found


OPCODES = _table()
"""Name and immediates by opcode."""


def encode_opcode(opcode: Opcode) -> bytes:
    """Return an opcode in the binary format: the number after a prefix is an unsigned LEB128 integer."""
    first, *number = opcode
    return bytes([first]) + b"".join(map(encode_u32, number))


def natural_alignment(name: str) -> int:
    """Return the number of bytes accessed by a load or store."""
    kind, _, access = name.partition(".")
    width = _WIDTH.match(access)
    return _BYTES[kind] if width is None else int(width[1]) * int(width[2] or 1) // 8
