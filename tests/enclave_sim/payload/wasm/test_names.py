"""What functions are called, by the name section or else by imports and exports."""

from hypothesis import given
from hypothesis import strategies as st
from wasmtime import wat2wasm

from enclave_sim.payload.wasm.names import function_names
from enclave_sim.payload.wasm.sections import SectionId, assemble, custom_section, custom_sections, sections

MODULE = bytes(
    wat2wasm("""(module (import "aether" "emit_signal" (func $emit (param i32))) (import "aether" "shred_self" (func))
  (memory (export "memory") 1) (func $tick) (func (export "_start")) (func) (func $"äöü" (export "other")))""")
)
UNNAMED = assemble(section for section in sections(MODULE) if section.id != SectionId.CUSTOM)
BY_INTERFACE = {0: "aether.emit_signal", 1: "aether.shred_self", 3: "_start", 5: "other"}


def test_the_name_section_names_functions_and_the_interface_those_it_leaves_out() -> None:
    assert function_names(MODULE) == {
        0: "emit", 1: "aether.shred_self", 2: "tick", 3: "_start", 5: "äöü",
    }  # fmt: skip


def test_without_a_name_section_imports_and_exports_name_functions() -> None:
    assert function_names(UNNAMED) == BY_INTERFACE


def test_a_module_of_nothing_names_nothing() -> None:
    assert function_names(bytes(wat2wasm("(module)"))) == {}


@given(damage=st.binary(max_size=40))
def test_a_damaged_name_section_never_takes_the_names_of_the_interface(damage: bytes) -> None:
    found = function_names(UNNAMED + custom_section("name", damage))
    assert found.keys() >= BY_INTERFACE.keys()


@given(at=st.integers(0, 200), value=st.integers(0, 255))
def test_a_name_section_with_any_byte_changed_raises_nothing(at: int, value: int) -> None:
    (names,) = custom_sections(MODULE, "name")
    payload = bytearray(names.payload)
    payload[at % len(payload)] = value
    assert function_names(UNNAMED + custom_section("name", bytes(payload))).keys() >= BY_INTERFACE.keys()
