"""Features beyond Lime1 are found wherever they stand, by a pattern that reads code as the disassembler does."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import wat2wasm

from enclave_sim.payload.wasm.disassembler import bodies, disassembly
from enclave_sim.payload.wasm.features import BULK_MEMORY, REFERENCE_TYPES, features_beyond_lime1
from enclave_sim.payload.wasm.opcodes import OPCODES, encode_opcode
from enclave_sim.strategies import WasmGuest, wasm_guests
from tests.enclave_sim.payload.wasm.test_disassembler import assembled, codes

BULK = ("memory.init", "data.drop", "table.init", "elem.drop", "table.copy")
REFERENCES = (
    *("table.get", "table.set", "table.grow", "table.size", "table.fill"),
    *("ref.null", "ref.is_null", "ref.func", "select (result"),
    *(f"{block} (result {kind}" for block in ("block", "loop", "if") for kind in ("funcref", "externref")),
)


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
    """It is longer than a run that the pattern matches at once, and branches through tables of labels."""
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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('(memory 1) (data (i32.const 0) "a") (data (i32.const 9) "b")', set()),
        ('(memory 1) (data (i32.const 0) "a") (data "b")', {BULK_MEMORY}),
        ("(table 2 funcref) (func $f) (elem (i32.const 0) $f) (elem (i32.const 1) $f)", set()),
        ("(table 2 funcref) (func $f) (elem (i32.const 0) $f) (elem func $f)", {BULK_MEMORY}),
        ("(table 2 funcref) (func $f) (elem declare func $f)", {BULK_MEMORY}),
        ("(table funcref (elem $f $f)) (func $f) (elem (i32.const 1) $f)", set()),
        ("(table funcref (elem $f)) (func $f) (elem (i32.const 0) funcref (ref.func $f))", {BULK_MEMORY}),
        ("(table funcref (elem $f)) (func $f) (elem func $f)", {BULK_MEMORY}),
        ("(table 1 funcref) (table 2 funcref)", {REFERENCE_TYPES}),
        ("(table 1 2 externref)", {REFERENCE_TYPES}),
        ("(type (func (param i32 externref) (result i64)))", {REFERENCE_TYPES}),
        ("(type (func (param i32) (result i64))) (type (func (result funcref)))", {REFERENCE_TYPES}),
        ("(global (mut i32) (i32.add (i32.const 11) (i32.const 11))) (global f64 (f64.const 1))", set()),
        ("(global i64 (i64.const -117)) (global externref (ref.null extern))", {REFERENCE_TYPES}),
        ("(func (local i32 i64)) (func (local i32 externref))", {REFERENCE_TYPES}),
        ('(table 1 externref) (memory 1) (data "b")', {BULK_MEMORY, REFERENCE_TYPES}),
    ],
)
def test_features_are_found_in_every_section(text: str, found: set[str]) -> None:
    assert set(features_beyond_lime1(bytes(wat2wasm(f"(module {text})")))) == found
