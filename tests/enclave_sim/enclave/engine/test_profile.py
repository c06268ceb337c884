"""Permitted imports, exports and features of a payload; every refusal says what is wrong and what would be right."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from enclave_sim.enclave.engine.profile import OPTIONAL, GuestProfile
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from enclave_sim.payload.wasm.sections import SectionId, encode_u32
from enclave_sim.strategies.wasm.encoding import assemble, name, vector

ENTRY = '(func (export "_start"))'
Make = Callable[..., Any]


def refusal(bench: Make, text: str, features: tuple[str, ...] = ()) -> str:
    with pytest.raises(PayloadRejected) as refused:
        bench(features=features).admit(text, imports=False)
    assert refused.value.check is PayloadCheck.PROFILE
    assert "\n" not in refused.value.message
    return refused.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '(import "env" "abort" (func))',
            "import env.abort is outside the contract; a guest may import "
            "aether.get_status, aether.emit_signal, aether.shred_self",
        ),
        ('(import "aether" "get_status" (func))', "import aether.get_status is () -> (); it must be () -> (i32)"),
        (
            '(import "aether" "emit_signal" (func (param i64)))',
            "import aether.emit_signal is (i64) -> (); it must be (i32) -> ()",
        ),
        (
            '(import "aether" "shred_self" (func (param i32) (result i32)))',
            "import aether.shred_self is (i32) -> (i32); it must be () -> ()",
        ),
        (
            '(import "aether" "memory" (memory 1))',
            "import aether.memory is a memory; a guest may import functions only and has its own memory",
        ),
        (
            '(import "aether" "get_status" (table 1 funcref))',
            "import aether.get_status is a table; a guest may import functions only and has its own table",
        ),
        (
            '(import "env" "base" (global i32))',
            "import env.base is a global; a guest may import functions only and has its own global",
        ),
        (
            "(memory 17)",
            "the memory has 17 pages of 64 KiB; the guest heap holds 16",
        ),
        ("(memory 65536)", "the memory has 65536 pages of 64 KiB; the guest heap holds 16"),
        ("(table 65537 funcref)", "a table has 65537 elements; at most 65536 are allowed"),
        (
            "(func $f) (start $f)",
            "the module has a start section; a guest is entered by its export _start alone, so have that function "
            "exported as _start instead (AssemblyScript: --exportStart _start)",
        ),
    ],
)
def test_what_is_outside_the_contract_is_named(bench: Make, text: str, message: str) -> None:
    assert refusal(bench, text + ENTRY) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the module exports no function _start; it must export _start () -> ()"),
        ('(memory (export "_start") 1)', "the module exports no function _start; it must export _start () -> ()"),
        ('(func (export "_start") (param i32))', "export _start is (i32) -> (); it must be () -> ()"),
        ('(func (export "_start") (result i32) i32.const 1)', "export _start is () -> (i32); it must be () -> ()"),
    ],
)
def test_the_entry_is_a_function_without_parameters_and_results(bench: Make, text: str, message: str) -> None:
    assert refusal(bench, text) == message


LIME1 = {
    "mutable globals": '(global (export "g") (mut i32) (i32.const 1))',
    "multiple values": "(func (result i32 i64) (block (result i32 i64) (i32.const 1) (i64.const 2)))",
    "sign extension": "(func (drop (i64.extend32_s (i64.const 1))))",
    "saturating conversions": "(func (drop (i64.trunc_sat_f64_u (f64.const -1))))",
    "memory.copy": "(memory 1) (func (memory.copy (i32.const 1) (i32.const 2) (i32.const 3)))",
    "memory.fill": "(memory 1) (func (memory.fill (i32.const 1) (i32.const 2) (i32.const 3)))",
    "extended constant, global": "(global i64 (i64.mul (i64.const 6) (i64.add (i64.const 3) (i64.const 4))))",
    "extended constant, data": '(memory 1) (data (i32.sub (i32.const 9) (i32.const 1)) "data")',
    "extended constant, elements": "(table 9 funcref) (func $f) (elem (i32.add (i32.const 1) (i32.const 1)) $f)",
}
NEVER = {
    "threads": ["(memory 1 1 shared)", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"],
    "memory64": ["(memory i64 1)", "(table i64 1 funcref)"],
    "multi-memory": ["(memory 1) (memory 1)"],
    "GC": [
        "(type (struct (field i32)))",
        "(type $a (array i8)) (func (drop (array.new_default $a (i32.const 1))))",
        "(func (drop (ref.i31 (i32.const 1))))",
        "(func (param anyref))",
        "(rec (type (func)))",
        "(type (sub (func)))",
        "(global i32 (i32.const 1)) (global i32 (global.get 0))",
    ],
    "exceptions": ["(tag)", "(func (try_table))", "(func (param exnref))", "(func try catch_all end)"],
    "tail calls": ["(func $f) (func (return_call $f))"],
    "custom page sizes": ["(memory 1 (pagesize 1))"],
    "stack switching": ["(type $f (func)) (type (cont $f))"],
    "wide arithmetic": ["(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 1)))"],
    "function references": [
        "(func (param (ref func)))",
        "(type $t (func)) (func (call_ref $t (ref.null $t)))",
        "(table 1 funcref (ref.null func))",
    ],
    "memory control": ["(memory 1) (func (memory.discard (i32.const 0) (i32.const 0)))"],
}
OPT_IN = {
    "simd": ["(func (local v128))", "(func (drop (v128.const i64x2 0 0)))"],
    "bulk-memory": [
        '(memory 1) (data $d "passive") (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0)))',
        '(memory 1) (data $d (i32.const 0) "active") (func (data.drop $d))',
        "(table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 0)))",
        "(table 1 funcref) (elem $e func) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 0)))",
        '(memory 1) (data "passive")',
        "(func $f) (elem func $f)",
        "(table 1 funcref) (func $f) (elem (i32.const 0) funcref (ref.func $f))",
    ],
    "reference-types": [
        "(table 1 externref)",
        "(table 1 funcref) (table 1 funcref)",
        "(table 1 funcref) (func (drop (table.size)))",
        "(table 1 funcref) (func (drop (table.get (i32.const 0))))",
        "(func (param externref))",
        "(func (result i32 funcref) unreachable)",
        "(func (local i32) (local i64 funcref))",
        "(global i32 (i32.const 1)) (global funcref (ref.null func))",
        "(func (drop (ref.null func)))",
        "(func (block (result funcref) unreachable) drop)",
        "(func (drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3))))",
    ],
}


@pytest.mark.parametrize("feature", LIME1)
def test_all_of_lime1_is_on(bench: Make, feature: str) -> None:
    assert bench().admit(LIME1[feature] + ENTRY) == 0


@pytest.mark.parametrize("index", [b"\x00", b"\x80\x00", b"\x80\x80\x80\x80\x00"])
def test_the_table_index_of_an_indirect_call_may_be_padded_as_linkers_do(bench: Make, index: bytes) -> None:
    calls = assemble_code(b"\x41\x00\x11\x00" + index)
    b = bench()
    b.engine.instantiate(b.engine.admit(calls, None))
    (trapped,) = b.run()
    assert trapped.detail == "uninitialized element"


def test_segments_may_name_the_only_table_and_memory(bench: Make) -> None:
    """Assemblers encode a table with its elements like this."""
    named = DATA.replace(b"\x01\x00", b"\x01\x02\x80\x00", 1)
    b = bench()
    b.engine.instantiate(b.engine.admit(assemble_code(b"", (SectionId.DATA, named)), None))
    assert len(b.run()) == 1
    assert b.heap()[-65536] == 0x2A
    b.start(
        "(type $t (func)) (table funcref (elem $f)) (func $f (call $emit (i32.const 7)))"
        ' (func (export "_start") (call_indirect (type $t) (i32.const 0)))'
    )
    assert b.run()[0].argument == 7


def test_a_data_count_section_is_taken_with_all_data_that_needs_none(bench: Make) -> None:
    assert bench().engine.admit(assemble_code(b"", (SectionId.DATA_COUNT, b"\1"), (SectionId.DATA, DATA)), None) == 0


DATA = b"\x01\x00\x41\x00\x0b\x01\x2a"
LONG_FORMS: dict[str, tuple[bytes, *tuple[tuple[int, bytes], ...]]] = {
    "parameter": (b"\0", (SectionId.TYPE, b"\x02\x60\0\0\x60\1\x63\x70\0")),
    "global": (b"\0", (SectionId.GLOBAL, b"\x01\x63\x6f\0\xd0\x6f\x0b")),
    "table": (b"\0", (SectionId.TABLE, b"\x01\x63\x70\0\1")),
    "local": (b"\1\1\x63\x70",),
    "block": (b"\0\2\x63\x70\0\x0b\x1a",),
    "select": (b"\0\0\x1c\1\x63\x70\x1a",),
}


@pytest.mark.parametrize("place", LONG_FORMS)
@pytest.mark.parametrize("features", [(), tuple(OPTIONAL)])
def test_a_type_in_the_form_of_function_references_is_refused_wherever_it_stands(
    bench: Make, place: str, features: tuple[str, ...]
) -> None:
    """Without that feature wasmtime takes it as funcref, which it means."""
    code, *sections = LONG_FORMS[place]
    with pytest.raises(PayloadRejected) as refused:
        bench(features=features).engine.admit(assemble_code(code, *sections, locals_=b""), None)
    assert "the module needs " + ("function references" if features else "") in refused.value.message


def assemble_code(code: bytes, *others: tuple[int, bytes], locals_: bytes = b"\0") -> bytes:
    """A module with a table, a memory, and an entry of that code."""
    sections = {
        SectionId.TYPE: b"\x01\x60\0\0",
        SectionId.FUNCTION: b"\1\0",
        SectionId.TABLE: b"\x01\x70\0\1",
        SectionId.MEMORY: b"\1\0\1",
        SectionId.EXPORT: vector([name("_start") + b"\0\0"]),
        SectionId.CODE: vector([encode_u32(len(locals_ + code) + 1) + locals_ + code + b"\x0b"]),
        **dict(others),
    }
    order = sorted(sections, key=lambda number: 9.5 if number == SectionId.DATA_COUNT else number)
    return assemble((number, sections[SectionId(number)]) for number in order)


@pytest.mark.parametrize(("feature", "text"), [(name, text) for name, texts in NEVER.items() for text in texts])
def test_a_forbidden_feature_is_named(bench: Make, feature: str, text: str) -> None:
    expected = f"the module needs {feature}, which is never part of the guest profile; compile the guest without it ("
    for features in ((), tuple(OPTIONAL)):
        assert refusal(bench, text + ENTRY, features).startswith(expected)


def test_features_after_an_opted_in_one_stay_forbidden(bench: Make) -> None:
    relaxed = "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))" + ENTRY
    assert refusal(bench, relaxed, ("simd",)).startswith("the module needs relaxed SIMD, which is never")
    function = "(type $t (func)) (func (call_ref $t (ref.null $t)))" + ENTRY
    assert refusal(bench, function, ("reference-types",)).startswith("the module needs function references, which is")


@pytest.mark.parametrize(("feature", "text"), [(name, text) for name, texts in OPT_IN.items() for text in texts])
def test_an_optional_feature_is_off_unless_opted_in(bench: Make, feature: str, text: str) -> None:
    expected = f"the module needs {feature}, which is off unless the run opts in with feature '{feature}' ("
    assert refusal(bench, text + ENTRY).startswith(expected)
    assert bench(features=[feature]).admit(text + ENTRY) == 0


def test_a_component_is_named(bench: Make) -> None:
    with pytest.raises(PayloadRejected, match="the module needs the component model, which is never part"):
        bench().engine.admit(b"\0asm\x0d\0\1\0", None)


@pytest.mark.parametrize("module", [b"", b"hello", b"\0asm\1\0\0\0\1", b'(module (func (export "_start")))'])
def test_what_is_not_a_binary_module_is_refused_in_one_line(bench: Make, module: bytes) -> None:
    with pytest.raises(PayloadRejected, match="the module is not valid WebAssembly") as refused:
        bench().engine.admit(module, None)
    assert "\n" not in str(refused.value)


def test_a_refused_module_gets_no_number(bench: Make) -> None:
    b = bench()
    assert b.admit(ENTRY) == 0
    with pytest.raises(PayloadRejected):
        b.admit("")
    assert b.admit(ENTRY) == 1


def test_sizes_at_the_limit_are_accepted(bench: Make) -> None:
    b = bench()
    assert b.start("(memory 16) (table 65536 funcref)" + ENTRY) == 16 * 65536
    assert b.start(ENTRY) == 0


def test_an_unknown_feature_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown WebAssembly feature 'threads'; there are bulk-memory"):
        GuestProfile(65536, frozenset(["threads"]))


@pytest.mark.parametrize("guarded", [True, False])
def test_every_combination_of_features_makes_a_valid_engine(bench: Make, guarded: bool) -> None:
    """wasmtime ends the process for an invalid one."""
    for count in range(len(OPTIONAL) + 1):
        for features in itertools.combinations(OPTIONAL, count):
            b = bench(guarded=guarded, features=features)
            b.start(ENTRY)
            assert len(b.run()) == 1


def test_the_contract_and_the_profile_do_not_import_wasmtime() -> None:
    modules = "enclave_sim.enclave.engine.contract, enclave_sim.enclave.engine.profile"
    code = f"import sys, {modules}; sys.exit('wasmtime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
