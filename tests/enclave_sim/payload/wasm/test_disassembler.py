"""The disassembler against wasmtime's assembler: its output, assembled, is the original code."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import wat2wasm

import payloads
from enclave_sim.payload.errors import MalformedModule
from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.opcodes import Immediate
from enclave_sim.payload.wasm.sections import bodies
from enclave_sim.strategies import WasmGuest, wasm_guests
from enclave_sim.strategies.wasm.encoding import encode_module
from tests.enclave_sim.payload.wasm.generated_code import BLOCKS, OPERANDS, assembled, codes, plain

BUILT_IN = Path(payloads.__file__).parent


def said(module: bytes) -> list[list[str]]:
    """The text of all functions, without their last `end`."""
    found = []
    for body in bodies(module):
        *code, last = disassembly(module, body)
        assert (last.name, last.offset, last.depth) == ("end", body.end - 1, 0)
        found.append([one.text for one in code])
    return found


@given(functions=st.lists(codes, max_size=4))
def test_what_is_said_of_code_is_assembled_to_the_same_code(functions: list[list[str]]) -> None:
    module = assembled(*functions, local="(local i32 i64) (local f32)")
    found = said(module)
    assert [[text.split()[0] for text in code] for code in found] == [
        [text.split()[0] for text in code] for code in functions
    ]
    assert assembled(*found, local="(local i32 i64) (local f32)") == module


@pytest.mark.parametrize(("name", "kind"), plain, ids=lambda value: value if isinstance(value, str) else "")
def test_every_instruction_has_the_opcode_that_the_assembler_gives_it(name: str, kind: Immediate) -> None:
    examples: list[str] = []

    @settings(max_examples=5, database=None)
    @given(operands=OPERANDS[kind])
    def check(operands: str) -> None:
        module = assembled([f"{name} {operands}"])
        ((text,),) = said(module)
        assert text.split()[0] == name
        assert assembled([text]) == module
        examples.append(text)

    check()
    assert examples


@pytest.mark.parametrize(
    "text",
    [
        *("f32.const 0.100000001", "f32.const 3.40282347e+38", "f32.const -0", "f32.const inf", "f32.const -inf"),
        *("f32.const nan:0x1", "f32.const -nan:0x400000", "f32.const nan:0x7fffff", "f32.const 1.17549435e-38"),
        *("f64.const 0.10000000000000001", "f64.const 1.7976931348623157e+308", "f64.const -0", "f64.const -inf"),
        *("f64.const nan:0x1", "f64.const -nan:0x8000000000000", "f64.const nan:0xfffffffffffff"),
        *(
            "i32.const -2147483648",
            "i32.const 2147483647",
            "i32.const -64",
            "i32.const 63",
            "i32.const 64",
            "i32.const -1",
        ),
        *("i64.const -9223372036854775808", "i64.const 9223372036854775807"),
        *("i32.load", "i32.load align=1", "i32.load offset=1", "i32.load offset=4294967295 align=2", "i32.load8_u"),
        *("v128.load8_lane 15", "v128.load64_lane offset=1 align=4 1", "i8x16.extract_lane_s 15"),
        *(
            "br_table 0",
            "br_table 1 2 3",
            "call_indirect 3 (type 1)",
            "call_indirect 0 (type 0)",
            "select (result v128)",
        ),
        *(
            "table.copy 1 2",
            "table.init 1 2",
            "memory.init 3",
            "memory.copy",
            "memory.fill",
            "memory.size",
            "data.drop 1",
        ),
        *("ref.null func", "ref.null extern", "ref.func 1", "unreachable", "data.drop 1", "local.get 300"),
        "v128.const i8x16 " + " ".join(map(str, range(240, 256))),
        "i8x16.shuffle " + " ".join(map(str, range(16))),
    ],
)
def test_an_instruction_is_said_in_its_shortest_exact_form(text: str) -> None:
    assert said(assembled([text])) == [[text]]


@pytest.mark.parametrize("kind", ["", "(type 1)", "(result i64)", "(result externref)"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_said_with_its_type(block: str, kind: str) -> None:
    assert said(assembled([f"{block} {kind}", "end"])) == [[f"{block} {kind}".rstrip(), "end"]]


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.wasm")), ids=lambda path: path.stem)
def test_every_function_of_the_built_in_payloads_ends_where_its_body_does(path: Path) -> None:
    assert all(said(path.read_bytes()))


@given(wasm_guests())
def test_operands_that_a_linker_padded_are_said_as_any(guest: WasmGuest) -> None:
    linked, plain = (encode_module(replace(guest.source, linked=linked)) for linked in (True, False))
    assert said(linked) == said(plain)


def test_bodies_have_the_index_of_their_function_after_those_that_are_imported() -> None:
    assert [body.function for body in bodies(assembled([], ["nop"], []))] == [1, 2, 3]
    assert [body.function for body in bodies(bytes(wat2wasm("(module (func) (func))")))] == [0, 1]


def test_instructions_lie_side_by_side_and_know_their_depth() -> None:
    module = assembled(["block", "loop", "if", "nop", "else", "drop", "end", "br 0", "end", "end", "call 7"])
    (body,) = bodies(module)
    code = list(disassembly(module, body))
    assert [one.depth for one in code] == [0, 1, 2, 3, 2, 3, 2, 2, 1, 0, 0, 0]
    assert [one.function for one in code if one.function is not None] == [7]
    assert all(before.offset < after.offset for before, after in pairwise(code))


@pytest.mark.parametrize("opcode", [b"\xfb\x00", b"\xfe\x00", b"\x12\x00", b"\xfd\x9a\x01", b"\xfc\x12", b"\x06\x40"])
def test_what_no_guest_may_use_is_refused_with_its_place(opcode: bytes) -> None:
    module = assembled(["nop"] * 3)
    (body,) = bodies(module)
    damaged = module.replace(b"\x01\x01\x01\x0b", opcode.ljust(3, b"\x01") + b"\x0b")
    with pytest.raises(
        MalformedModule, match=f"at byte {body.start + 1}: 0x.* is not an instruction of a guest"
    ) as caught:
        list(disassembly(damaged, body))
    assert caught.value.section_start == body.start + 1
