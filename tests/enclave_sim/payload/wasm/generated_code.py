"""Functions made of all instructions, assembled by wasmtime."""

from hypothesis import strategies as st
from wasmtime import wat2wasm

from enclave_sim.payload.wasm.opcodes import OPCODES, Immediate

TYPES = '(type (func)) (type (func (param i32) (result i32))) (import "m" "f" (func)) (memory 1) (table 4 funcref)'
small = st.integers(0, 300)
lanes = st.integers(0, 15)
value_types = st.sampled_from(["i32", "i64", "f32", "f64", "v128", "funcref", "externref"])
alignments = st.sampled_from(["", "align=1", "align=2"])
offsets = st.sampled_from(["", "offset=1", "offset=127", "offset=128", "offset=4294967295"])


def _floats(mantissa: int) -> st.SearchStrategy[str]:
    finite = st.floats(width=32 if mantissa == 23 else 64, allow_nan=False)
    digits = 9 if mantissa == 23 else 17
    nans = st.builds("{}nan:{:#x}".format, st.sampled_from(["", "-"]), st.integers(1, (1 << mantissa) - 1))
    return finite.map(lambda value: f"{value:.{digits}g}") | nans


OPERANDS: dict[Immediate, st.SearchStrategy[str]] = {
    Immediate.NOTHING: st.just(""),
    Immediate.BLOCK_TYPE: st.sampled_from(["", "(type 1)"]) | value_types.map("(result {})".format),
    Immediate.INDEX: small.map(str),
    Immediate.FUNCTION: small.map(str),
    Immediate.LABELS: st.lists(small.map(str), min_size=1, max_size=200).map(" ".join),
    Immediate.TYPE_AND_TABLE: st.builds("{} (type {})".format, small, st.integers(0, 1)),
    Immediate.VALUE_TYPES: value_types.map("(result {})".format),
    Immediate.MEMORY_ARGUMENT: st.builds("{} {}".format, offsets, alignments),
    Immediate.MEMORY_ARGUMENT_AND_LANE: st.builds("{} {} {}".format, offsets, alignments, st.integers(0, 1)),
    Immediate.MEMORY: st.just(""),
    Immediate.TWO_MEMORIES: st.just(""),
    Immediate.DATA_AND_MEMORY: small.map(str),
    Immediate.ELEMENT_AND_TABLE: st.builds("{} {}".format, small, small),
    Immediate.TWO_TABLES: st.builds("{} {}".format, small, small),
    Immediate.I32: st.integers(-(2**31), 2**31 - 1).map(str),
    Immediate.I64: st.integers(-(2**63), 2**63 - 1).map(str),
    Immediate.F32: _floats(23),
    Immediate.F64: _floats(52),
    Immediate.V128: st.lists(st.integers(0, 255), min_size=16, max_size=16).map(
        lambda found: "i8x16 " + " ".join(map(str, found))
    ),
    Immediate.LANE: st.integers(0, 1).map(str),
    Immediate.LANES: st.lists(st.integers(0, 31), min_size=16, max_size=16).map(
        lambda found: " ".join(map(str, found))
    ),
    Immediate.HEAP_TYPE: st.sampled_from(["func", "extern"]),
}
BLOCKS = ("block", "loop", "if")
plain = [(name, kind) for name, kind in OPCODES.values() if name not in (*BLOCKS, "else", "end")]


def _one(choice: tuple[str, Immediate]) -> st.SearchStrategy[list[str]]:
    name, kind = choice
    return OPERANDS[kind].map(lambda text: [f"{name} {text}"])


def _block(inside: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    kinds = st.builds("{} {}".format, st.sampled_from(BLOCKS), OPERANDS[Immediate.BLOCK_TYPE])
    alternatives = st.builds(
        lambda kind, yes, no: [f"if {kind}", *yes, "else", *no, "end"], OPERANDS[Immediate.BLOCK_TYPE], inside, inside
    )
    return st.builds(lambda head, body: [head, *body, "end"], kinds, inside) | alternatives


def _flat(parts: list[list[str]]) -> list[str]:
    return [text for part in parts for text in part]


codes: st.SearchStrategy[list[str]] = st.recursive(
    st.lists(st.sampled_from(plain).flatmap(_one), max_size=6).map(_flat),
    lambda inside: st.lists(_block(inside), min_size=1, max_size=3).map(_flat),
    max_leaves=5,
)


def assembled(*functions: list[str], local: str = "") -> bytes:
    texts = (f"(func {local} {' '.join(code)})" for code in functions)
    return bytes(wat2wasm(f"(module {TYPES} {' '.join(texts)})"))
