"""Features beyond Lime1 are found anywhere, by a pattern that reads code as the disassembler does."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import wat2wasm

from enclave_sim.payload.wasm import disassembler, features
from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.features import BULK_MEMORY, FUNCTION_REFERENCES, REFERENCE_TYPES, features_beyond_lime1
from enclave_sim.payload.wasm.opcodes import OPCODES, TYPES, Immediate, encode_opcode
from enclave_sim.payload.wasm.sections import MODULE_HEADER, SectionId, bodies
from enclave_sim.strategies import WasmGuest, wasm_guests
from tests.enclave_sim.payload.wasm.generated_code import assembled, codes, plain

BULK = ("memory.init", "data.drop", "table.init", "elem.drop", "table.copy")
REFERENCES = (
    *("table.get", "table.set", "table.grow", "table.size", "table.fill"),
    *("ref.null", "ref.is_null", "ref.func", "select (result"),
    *(f"{block} (result {kind}" for block in ("block", "loop", "if") for kind in ("funcref", "externref")),
)

SIXTEEN = " ".join(["15"] * 16)
EXAMPLES = {
    **dict.fromkeys((Immediate.INDEX, Immediate.FUNCTION), "300"),
    Immediate.MEMORY_ARGUMENT: "offset=300",
    Immediate.MEMORY_ARGUMENT_AND_LANE: "offset=300 1",
    Immediate.TYPE_AND_TABLE: "3 (type 1)",
    **dict.fromkeys((Immediate.I32, Immediate.I64, Immediate.F32, Immediate.F64), "-117"),
    **{Immediate.LANE: "1", Immediate.LANES: SIXTEEN, Immediate.V128: f"i8x16 {SIXTEEN}"},
}
"""Operands by kind of immediate, if required."""


def offsets(module: bytes) -> dict[str, int]:
    return {feature: use.offset for feature, use in features_beyond_lime1(module).items()}


@given(functions=st.lists(codes, max_size=4))
def test_the_first_use_in_code_is_where_the_disassembler_has_it(functions: list[list[str]]) -> None:
    module = assembled(*functions, local="(local i32 i64) (local f32)")
    expected: dict[str, int] = {}
    for one in chain.from_iterable(disassembly(module, body) for body in bodies(module)):
        if one.text.startswith(BULK):
            expected.setdefault(BULK_MEMORY, one.offset)
        if one.text.startswith(REFERENCES):
            place = one.offset + 1 if one.name in ("block", "loop", "if") else one.offset
            expected.setdefault(REFERENCE_TYPES, place)
    assert offsets(module) == expected


@given(wasm_guests())
def test_generated_guests_keep_to_lime1(guest: WasmGuest) -> None:
    assert features_beyond_lime1(guest.module) == {}


def test_long_code_is_read_to_its_end() -> None:
    """It is longer than one match of the pattern, and branches through tables of labels."""
    code = ["block", "i32.const 1000000", "br_table 0 0 0", "end", "memory.fill"] * 1000
    assert offsets(assembled(code)) == {}
    module = assembled(code, [*code, "table.copy 0 0"])
    assert offsets(module) == {BULK_MEMORY: len(module) - len(b"\xfc\x0e\0\0\x0b")}


def test_bytes_of_constants_are_no_instructions() -> None:
    texts = ["f64.const nan:0xd0d0d0d0d0d0", "i32.const 0xfcfcfcfc", "f32.const 0x1p-20", "i64.const -4", "drop"]
    assert offsets(assembled(texts)) == {}


@pytest.mark.parametrize("number", [number for opcode in OPCODES if opcode[0] == 0xFC for number in opcode[1:]])
def test_a_padded_opcode_is_the_same_opcode(number: int) -> None:
    name, _ = OPCODES[0xFC, number]
    module = assembled([name + (" 0" if name in ("memory.init", "elem.drop", "data.drop", "table.init") else "")])
    plain = encode_opcode((0xFC, number))
    padded = bytes([*plain[:-1], plain[-1] | 0x80, 0x80, 0])
    (body,) = bodies(module)
    start = module.index(plain, body.start)
    inside = module[body.start : start] + padded + module[start + len(plain) : body.end]
    size = len(inside)
    longer = module[: body.start - 3] + bytes([size + 2, 1, size]) + inside
    assert bool(offsets(longer)) == bool(offsets(module)) == name.startswith(BULK + REFERENCES)


BULK_ELEMENTS = "an element segment that is passive, declared, or of expressions"
LONG = "of a type in its long form"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('(memory 1) (data (i32.const 0) "a") (data (i32.const 9) "b")', {}),
        ('(memory 1) (data (i32.const 0) "a") (data "b")', {BULK_MEMORY: ("a passive data segment", "01 01 62")}),
        ("(table 2 funcref) (func $f) (elem (i32.const 0) $f) (elem (i32.const 1) $f)", {}),
        (
            "(table 2 funcref) (func $f) (elem (i32.const 0) $f) (elem func $f)",
            {BULK_MEMORY: (BULK_ELEMENTS, "01 00 01 00")},
        ),
        ("(table 2 funcref) (func $f) (elem declare func $f)", {BULK_MEMORY: (BULK_ELEMENTS, "03 00 01 00")}),
        ("(table funcref (elem $f $f)) (func $f) (elem (i32.const 1) $f)", {}),
        (
            "(table funcref (elem $f)) (func $f) (elem (i32.const 0) funcref (ref.func $f))",
            {BULK_MEMORY: (BULK_ELEMENTS, "04 41 00 0b")},
        ),
        ("(table funcref (elem $f)) (func $f) (elem func $f)", {BULK_MEMORY: (BULK_ELEMENTS, "01 00 01 00")}),
        ("(table 1 funcref)", {}),
        ("(table 1 funcref) (table 2 funcref)", {REFERENCE_TYPES: ("2 tables", "70 00 01 70 00 02")}),
        ("(table 1 2 externref)", {REFERENCE_TYPES: ("a table of type externref", "6f 01 01 02")}),
        ("(type (func)) (table 1 (ref null 0))", {FUNCTION_REFERENCES: (f"a table {LONG}", "63 00 00 01")}),
        (
            "(type (func)) (table 200 300 funcref) (table 2 (ref null 0))",
            {REFERENCE_TYPES: ("2 tables", "70 01 c8"), FUNCTION_REFERENCES: (f"a table {LONG}", "63 00 00 02")},
        ),
        (
            "(type (func (param i32 externref) (result i64)))",
            {REFERENCE_TYPES: ("a parameter of type externref", "6f 01 7e")},
        ),
        (
            "(type (func (param i32) (result i64))) (type (func (result funcref)))",
            {REFERENCE_TYPES: ("a result of type funcref", "70")},
        ),
        (
            "(type (func (param (ref null 200) externref)))",
            {
                FUNCTION_REFERENCES: (f"a parameter {LONG}", "63 c8 01 6f 00"),
                REFERENCE_TYPES: ("a parameter of type externref", "6f 00"),
            },
        ),
        ("(global (mut i32) (i32.add (i32.const 11) (i32.const 11))) (global f64 (f64.const 1))", {}),
        (
            "(global i64 (i64.const -117)) (global externref (ref.null extern))",
            {REFERENCE_TYPES: ("a global of type externref", "6f 00 d0 6f 0b")},
        ),
        (
            "(type (func)) (global (ref null 0) (ref.null 0)) (global (mut externref) (ref.null extern))",
            {
                FUNCTION_REFERENCES: (f"a global {LONG}", "63 00 00 d0"),
                REFERENCE_TYPES: ("a global of type externref", "6f 01 d0 6f 0b"),
            },
        ),
        (
            "(global v128 (v128.const i64x2 0x0b0b0b0b0b0b0b0b 0x0b)) (global externref (ref.null extern))",
            {REFERENCE_TYPES: ("a global of type externref", "6f 00 d0 6f 0b")},
        ),
        (
            "(func (local i32 i64)) (func (local i32 externref))",
            {REFERENCE_TYPES: ("a local of type externref", "6f 0b")},
        ),
        (
            "(type (func)) (func (local (ref null 0) externref))",
            {
                FUNCTION_REFERENCES: (f"a local {LONG}", "63 00 01 6f 0b"),
                REFERENCE_TYPES: ("a local of type externref", "6f 0b"),
            },
        ),
        (
            "(type (func)) (func (block (result (ref null 0)) unreachable) (block (result externref) unreachable))",
            {
                FUNCTION_REFERENCES: (f"a block {LONG}", "63 00 00 0b"),
                REFERENCE_TYPES: ("a block of type externref", "6f 00 0b"),
            },
        ),
        ("(func (select (result i32) unreachable))", {REFERENCE_TYPES: ("select with types", "1c 01 7f 0b")}),
        (
            "(type (func)) (func (select (result (ref null 0)) unreachable) (memory.init 0))",
            {
                REFERENCE_TYPES: ("select with types", "1c 01 63 00"),
                FUNCTION_REFERENCES: (f"select {LONG}", "63 00 fc"),
                BULK_MEMORY: ("memory.init", "fc 08 00 00 0b"),
            },
        ),
        (
            '(table 1 externref) (memory 1) (data "b")',
            {
                BULK_MEMORY: ("a passive data segment", "01 01 62"),
                REFERENCE_TYPES: ("a table of type externref", "6f 00 01"),
            },
        ),
        ("(func (ref.null extern) (table.get 0))", {REFERENCE_TYPES: ("ref.null", "d0 6f 25 00 0b")}),
    ],
)  # fmt: skip
def test_features_are_found_in_every_section_and_reported_with_their_place(
    text: str, found: dict[str, tuple[str, str]]
) -> None:
    module = bytes(wat2wasm(f"(module {text})"))
    uses = features_beyond_lime1(module)
    assert {feature: use.what for feature, use in uses.items()} == {name: what for name, (what, _) in found.items()}
    for feature, (_, there) in found.items():
        assert module[uses[feature].offset :].hex(" ").startswith(there)


def sections_of(*named: tuple[SectionId, bytes]) -> bytes:
    return MODULE_HEADER + b"".join(bytes([number, len(content)]) + content for number, content in named)


@pytest.mark.parametrize(
    ("before", "plain"),
    [
        (b"\x7b\0\xfd\x8c\0" + bytes(16) + b"\x0b", b"\x7b\0\xfd\x0c" + bytes(16) + b"\x0b"),
        (b"\x7b\0\xfd\x8c\x80\x80\0" + bytes(16) + b"\x0b", b"\x7b\0\xfd\x0c" + bytes(16) + b"\x0b"),
        (b"\x7f\0\x41\x8b\x80\0\x0b", b"\x7f\0\x41\x0b\x0b"),
        (b"\x7f\1\x23\x8b\0\x0b", b"\x7f\1\x23\x0b\x0b"),
    ],
)
def test_a_constant_ends_in_the_same_place_if_it_is_padded(before: bytes, plain: bytes) -> None:
    for constant in (before, plain):
        module = sections_of((SectionId.GLOBAL, b"\2" + constant + b"\x6f\0\xd0\x6f\x0b"))
        assert offsets(module) == {REFERENCE_TYPES: module.index(b"\x6f\0\xd0")}


@pytest.mark.parametrize(
    ("number", "content"),
    [
        (SectionId.DATA, b"\2" + b"\2\x80\0\x41\0\x0b\1a" + b"\1\1b"),
        (SectionId.DATA, b"\2" + b"\2\0\x41\0\x0b\x81\0a" + b"\1\1b"),
        (SectionId.DATA, b"\2" + b"\x80\0\x41\0\x0b\3abc" + b"\1\1b"),
        (SectionId.ELEMENT, b"\2" + b"\2\0\x41\0\x0b\0\2\0\0" + b"\1\0\1\0"),
        (SectionId.ELEMENT, b"\2" + b"\2\x80\0\x41\0\x0b\0\1\x80\0" + b"\1\0\1\0"),
        (SectionId.ELEMENT, b"\2" + b"\0\x41\0\x0b\2\x80\1\0" + b"\1\0\1\0"),
    ],
)
def test_an_active_segment_is_passed_over_whatever_it_names(number: SectionId, content: bytes) -> None:
    module = sections_of((number, content))
    assert offsets(module) == {BULK_MEMORY: len(module) - (4 if number == SectionId.ELEMENT else 3)}


@pytest.mark.parametrize("name", [name for name, _ in plain if name not in ("br_table", "select", *BULK, *REFERENCES)])
def test_an_instruction_of_lime1_is_passed_over_by_the_pattern(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern is for speed only: unknown code would be read one instruction at a time, with the same result."""

    def never(_module: bytes, at: int) -> None:
        raise AssertionError(f"the pattern stops at {at}")

    monkeypatch.setattr(disassembler, "read_instruction", never)
    kind = dict(plain)[name]
    module = assembled([f"{name} {EXAMPLES.get(kind, '')}"] * 3)
    assert features_beyond_lime1(module) == {}


def test_blocks_of_plain_types_are_passed_over_by_the_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(disassembler, "read_instruction")
    kinds = ["", *(f"(result {kind})" for kind in ("i32", "i64", "f32", "f64", "v128")), "(type 1)"]
    code = [part for kind in kinds for part in (f"if {kind}", "else", f"loop {kind}", f"block {kind}", *["end"] * 3)]
    assert features_beyond_lime1(assembled(code)) == {}


def test_every_instruction_beyond_lime1_begins_with_a_suspicious_byte() -> None:
    beyond = [
        encode_opcode(opcode)[0]
        for opcode, (name, kind) in OPCODES.items()
        if name in features._INSTRUCTIONS or kind is Immediate.VALUE_TYPES
    ]
    references = {code & 0x7F: name for code, name in TYPES.items() if name in ("funcref", "externref")}
    assert {*beyond, *references, features._NULLABLE} == features._SUSPICIOUS
    assert references == features._REFERENCES
