"""The names of functions, from the name section or else from imports and exports."""

import pytest
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


def subsection(kind: int, content: bytes) -> bytes:
    return bytes([kind, len(content)]) + content


FUNCTION_2 = subsection(1, b"\1\2\3two")
"""A subsection of a name section: one function, number 2, with a name of three letters."""


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (FUNCTION_2, {2: "two"}),
        (subsection(0, b"\6module") + FUNCTION_2 + subsection(2, b"\1\2\1\0\1x"), {2: "two"}),
        (subsection(1, b"\2\2\3two\4\4four"), {2: "two", 4: "four"}),
        (subsection(1, b"\1\2\0"), {2: ""}),
        (b"\1\x84\1" + b"\1\2\x80\1" + b"x" * 128, {2: "x" * 128}),
        (subsection(1, b"\1\x82\1\3two"), {130: "two"}),
        (subsection(1, b"\1\x82\0\x83\0two"), {2: "two"}),
        (subsection(1, b"\0"), {}),
        (b"", {}),
    ],
)
def test_a_name_section_of_any_parts_names_its_functions(payload: bytes, named: dict[int, str]) -> None:
    assert function_names(UNNAMED + custom_section("name", payload)) == BY_INTERFACE | named


@pytest.mark.parametrize(
    "payload",
    [
        b"\1",
        b"\1\x80",
        FUNCTION_2[:-1],
        b"\1\5" + FUNCTION_2[2:],
        subsection(1, b"\2\2\3two"),
        subsection(1, b"\1\2\4two"),
        subsection(1, b"\1\2\3t\xffo"),
        subsection(0, b"\6module") + FUNCTION_2[:-1],
        subsection(0, b"\6module")[:-1],
        b"\0\x09\6module",
    ],
)
def test_a_name_section_that_is_cut_short_anywhere_names_nothing(payload: bytes) -> None:
    assert function_names(UNNAMED + custom_section("name", payload)) == BY_INTERFACE


def test_what_is_good_before_a_second_name_section_that_is_damaged_stays() -> None:
    damaged, good = custom_section("name", b"\1"), custom_section("name", FUNCTION_2)
    for module in (UNNAMED + damaged + good, UNNAMED + good + damaged):
        assert function_names(module) == BY_INTERFACE | {2: "two"}


def test_a_function_that_is_exported_twice_has_the_first_name_and_other_exports_have_none() -> None:
    module = bytes(
        wat2wasm("""(module (table (export "t") 1 funcref) (memory (export "m") 1)
  (global (export "g") i32 (i32.const 0))
  (func (export "first") (export "second")))""")
    )
    assert function_names(module) == {0: "first"}


def test_names_and_indices_of_two_leb128_bytes_are_read_from_imports_and_exports() -> None:
    long = "x" * 130
    imports = "".join(f'(import "{long}" "f{index}" (func (type 130)))' for index in range(130))
    types = "".join(f"(type (func (param {' i32' * count})))" for count in range(131))
    module = bytes(wat2wasm(f'(module {types} {imports} (func (export "{long}")) (func (export "last")))'))
    assert function_names(module) == {index: f"{long}.f{index}" for index in range(130)} | {130: long, 131: "last"}


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
