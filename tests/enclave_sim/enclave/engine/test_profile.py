"""What a payload may import, export and use; every refusal says what is wrong and what would be right."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from enclave_sim.enclave.engine.profile import OPTIONAL, GuestProfile
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected

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
            "the module has a start section; a guest is entered by its export _start alone",
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


NEVER = {
    "threads": ["(memory 1 1 shared)", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"],
    "memory64": ["(memory i64 1)", "(table i64 1 funcref)"],
    "multi-memory": ["(memory 1) (memory 1)"],
    "GC": ["(type (struct (field i32)))", "(func (drop (ref.i31 (i32.const 1))))"],
    "exceptions": ["(tag)"],
    "tail calls": ["(func $f) (func (return_call $f))"],
    "custom page sizes": ["(memory 1 (pagesize 1))"],
    "stack switching": ["(type $f (func)) (type (cont $f))"],
    "wide arithmetic": ["(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 1)))"],
}
OPT_IN = {
    "simd": ["(func (local v128))", "(func (drop (v128.const i64x2 0 0)))"],
    "bulk-memory": [
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
        '(memory 1) (data "passive")',
    ],
    "reference-types": ["(table 1 externref)", "(table 1 funcref) (table 1 funcref)", "(func (drop (ref.null func)))"],
}


@pytest.mark.parametrize(("feature", "text"), [(name, text) for name, texts in NEVER.items() for text in texts])
def test_a_forbidden_feature_is_named(bench: Make, feature: str, text: str) -> None:
    expected = f"the module needs {feature}, which is never part of the guest profile; compile the guest without it ("
    for features in ((), tuple(OPTIONAL)):
        assert refusal(bench, text + ENTRY, features).startswith(expected)


def test_features_behind_an_opted_in_one_stay_forbidden(bench: Make) -> None:
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
def test_what_is_no_binary_module_is_refused_in_one_line(bench: Make, module: bytes) -> None:
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
