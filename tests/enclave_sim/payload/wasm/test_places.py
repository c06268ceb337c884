"""Places in a module are given by function and offset in it."""

import pytest
from wasmtime import wat2wasm

from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.places import bodies_of, function_name, function_text, offset_text, store_text
from enclave_sim.payload.wasm.sections import bodies

LONG = "x" * 61
MODULE = bytes(
    wat2wasm(f"""(module (import "aether" "f" (func $f)) (memory 1)
  (func $tick (local i32) (call $f)) (func (i32.store8 offset=4 (i32.const 1) (i32.const 2)) (nop))
  (func ${LONG}))""")
)


def test_functions_are_said_by_name_and_index() -> None:
    assert [function_text(MODULE, number) for number in range(5)] == [
        "f (function 0)", "tick (function 1)", "function 2", f"{'x' * 60} (function 3)", "function 4",
    ]  # fmt: skip
    assert [function_name(MODULE, number) for number in (1, 2, 3)] == ["tick", "", "x" * 60]


def test_bodies_are_found_by_the_index_of_their_function() -> None:
    assert bodies_of(MODULE) == {body.function: body for body in bodies(MODULE)}
    assert list(bodies_of(MODULE)) == [1, 2, 3]


@pytest.mark.parametrize("function", [1, 2])
def test_an_instruction_is_said_by_its_offset_in_the_function_and_the_locals_are_the_entry(function: int) -> None:
    body = bodies_of(MODULE)[function]
    code = [one.offset for one in disassembly(MODULE, body)]
    assert offset_text(MODULE, function, None) == "at its entry"
    for offset in range(body.start, code[0]):
        assert offset_text(MODULE, function, offset) == "at its entry"
    for offset in code:
        assert offset_text(MODULE, function, offset) == f"at +{offset - body.start:#x}"


def test_a_store_is_said_by_its_function_offset_and_name() -> None:
    body = bodies_of(MODULE)[2]
    (store,) = [one.offset for one in disassembly(MODULE, body) if one.name == "i32.store8"]
    assert store_text(MODULE, store) == f"the guest: function 2 at +{store - body.start:#x}, i32.store8"
    assert store_text(MODULE, None) == "the guest: its data segments"
    for function, body in bodies_of(MODULE).items():
        code = [one.offset for one in disassembly(MODULE, body)]
        for offset in (code[0], code[-1]):
            assert store_text(MODULE, offset).startswith(f"the guest: {function_text(MODULE, function)} at +")
