"""Guests in ring 3: control flow, calls, memory, host calls, and every trap."""

import pytest
from wasmtime import wat2wasm

from tests.firmware.vmm import reference
from tests.firmware.vmm.cases import module
from tests.firmware.vmm.comparing import alike
from tests.firmware.vmm.harness import STATUS, TRAPS, Event, Harness

_IMPORTS = """
  (import "aether" "get_status" (func $status (result i32)))
  (import "aether" "emit_signal" (func $emit (param i32)))
  (import "aether" "shred_self" (func $shred))"""


def assembled(text: str) -> bytes:
    return reference.exposed(bytes(wat2wasm(f"(module {_IMPORTS} {text})")))


def events(harness: Harness, text: str) -> list[Event]:
    """Run a guest here and in wasmtime. Return what both do."""
    guest = assembled(text)
    verdict, found = harness.run(guest)
    assert verdict.reason is None
    assert alike(found, reference.run(guest))
    return found


def signals(harness: Harness, text: str) -> list[int]:
    found = events(harness, text)
    assert found[-1].record == "R"
    return [event.argument for event in found if event.record == "C" and event.kind == 1]


def trap(harness: Harness, text: str) -> str:
    found = events(harness, text)
    assert found[-1].record == "T"
    return TRAPS[found[-1].kind]


def start(body: str, rest: str = "") -> str:
    return f'(memory 1) {rest} (func (export "_start") {body})'


@pytest.mark.slow
def test_host_calls_have_their_numbers_arguments_and_results(harness: Harness) -> None:
    found = events(harness, start("(call $emit (call $status)) (call $shred)"))
    assert [event[:3] for event in found] == [("C", 0, 0), ("C", 1, STATUS), ("C", 2, 0), ("R", 0, 0)]


def test_an_imported_function_may_be_the_entry(harness: Harness) -> None:
    found = events(harness, '(export "_start" (func $shred))')
    assert [event[:2] for event in found] == [("C", 2), ("R", 0)]


def test_a_host_call_through_the_table(harness: Harness) -> None:
    text = start(
        "(call_indirect (param i32) (i32.const 7) (i32.const 0))", "(table 1 funcref) (elem (i32.const 0) $emit)"
    )
    assert signals(harness, text) == [7]


def test_a_branch_keeps_its_operands_and_drops_the_others(harness: Harness) -> None:
    text = start(
        """(local i32)
        (i32.const 1) (i32.const 2)
        (block (result i32 i32 i32)
          (i32.const 90) (i32.const 91) (i32.const 3) (i32.const 4) (i32.const 5)
          (br 0))
        (call $emit) (call $emit) (call $emit) (call $emit) (call $emit)"""
    )
    assert signals(harness, text) == [5, 4, 3, 2, 1]


def test_a_loop_takes_operands(harness: Harness) -> None:
    text = start(
        """(i32.const 10) (i32.const 0)
        (loop $again (param i32 i32) (result i32)
          (local.set 1) (local.set 0)
          (local.set 1 (i32.add (local.get 1) (local.get 0)))
          (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
          (i32.const 99)
          (local.get 0) (local.get 1)
          (br_if $again (local.get 0))
          (local.set 1) (drop) (drop) (local.get 1))
        (call $emit)"""
    ).replace('"_start")', '"_start") (local i32 i32)')
    assert signals(harness, text) == [55]


@pytest.mark.parametrize("choice", [0, 1, 2, 3, 4, -1])
def test_a_branch_table_takes_the_chosen_label_or_the_default(harness: Harness, choice: int) -> None:
    text = start(
        f"""(block $d (result i32) (block $c (result i32) (block $b (result i32) (block $a (result i32)
            (i32.const 77) (i32.const 50) (br_table $a $b $c $d (i32.const {choice})))
          (call $emit) (i32.const 1)) (call $emit) (i32.const 2)) (call $emit) (i32.const 3)) (call $emit)"""
    )
    first = {0: [50, 1, 2, 3], 1: [50, 2, 3], 2: [50, 3]}.get(choice, [50])
    assert signals(harness, text) == first


def test_if_with_and_without_else(harness: Harness) -> None:
    text = start(
        """(if (i32.const 1) (then (call $emit (i32.const 1))) (else (call $emit (i32.const 2))))
        (if (i32.const 0) (then (call $emit (i32.const 3))) (else (call $emit (i32.const 4))))
        (if (i32.const 0) (then (call $emit (i32.const 5))))
        (i32.const 6) (i32.const 0) (if (param i32) (result i32) (then (drop) (i32.const 7))) (call $emit)"""
    )
    assert signals(harness, text) == [1, 4, 6]


def test_a_return_from_within_blocks(harness: Harness) -> None:
    text = start(
        "(call $f (i32.const 3)) (call $emit) (call $emit)",
        """(func $f (param i32) (result i32 i32) (local i64 i32)
             (i32.const 40)
             (block (loop (i32.const 50) (local.get 0) (i32.const 9) (return)))
             (unreachable))""",
    )
    assert signals(harness, text) == [9, 3]


def test_locals_are_zero_in_every_call(harness: Harness) -> None:
    text = start(
        "(call $f) (call $f)",
        "(func $f (local i32 i64) (call $emit (local.get 0)) (local.set 0 (i32.const 5)) (local.set 1 (i64.const -1)))",
    )
    assert signals(harness, text) == [0, 0]


def test_recursion(harness: Harness) -> None:
    text = start(
        "(call $emit (call $fib (i32.const 15)))",
        """(func $fib (param i32) (result i32)
          (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                           (call $fib (i32.sub (local.get 0) (i32.const 2)))))))""",
    )
    assert signals(harness, text) == [610]


@pytest.mark.parametrize(
    "body",
    [
        "(func $f (call $f))",
        "(func $f (local i64 i64 i64 i64) (call $f))",
        "(func $f (param i32) (i32.const 1) (i32.const 2) (i32.const 3) (call $f (local.get 0)) (drop) (drop) (drop))",
    ],
    ids=["calls", "locals", "operands"],
)
def test_the_stack_overflows_into_its_guard(harness: Harness, body: str) -> None:
    call = "(call $f (i32.const 0))" if "param" in body else "(call $f)"
    assert trap(harness, start(call, body)) == "stack"


def test_a_function_with_more_locals_than_the_stack_has_room_for(harness: Harness) -> None:
    many = " ".join(["i64"] * 40_000)
    found = harness.run(assembled(start("(call $f)", f"(func $f (local {many}))")))[1]
    assert TRAPS[found[-1].kind] == "stack"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("(unreachable)", "illegal"),
        ("(drop (i32.load (i32.const 65533)))", "memory"),
        ("(drop (i32.load offset=0xFFFFFFFF (i32.const -1)))", "memory"),
        ("(drop (i64.load offset=65529 (i32.const 0)))", "memory"),
        ("(i64.store (i32.const 65529) (i64.const -1))", "memory"),
        ("(i32.store16 (i32.const 65535) (i32.const -1))", "memory"),
        ("(i32.store8 offset=65535 (i32.const 1) (i32.const -1))", "memory"),
        ("(call_indirect (i32.const 0))", "illegal"),
        ("(call_indirect (i32.const 3))", "illegal"),
        ("(call_indirect (i32.const 4))", "illegal"),
        ("(call_indirect (i32.const -1))", "illegal"),
        ("(drop (call_indirect (result i32) (i32.const 2)))", "illegal"),
        ("(memory.fill (i32.const 65530) (i32.const 9) (i32.const 7))", "memory"),
        ("(memory.fill (i32.const 65537) (i32.const 9) (i32.const 0))", "memory"),
        ("(memory.fill (i32.const -1) (i32.const 9) (i32.const -1))", "memory"),
        ("(memory.copy (i32.const 65530) (i32.const 0) (i32.const 7))", "memory"),
        ("(memory.copy (i32.const 0) (i32.const 65530) (i32.const 7))", "memory"),
        ("(memory.copy (i32.const 65537) (i32.const 0) (i32.const 0))", "memory"),
        ("(memory.copy (i32.const 0) (i32.const 65537) (i32.const 0))", "memory"),
    ],
)
def test_a_trap_is_of_its_kind_and_nothing_is_written(harness: Harness, body: str, kind: str) -> None:
    rest = """(data (i32.const 65528) "12345678") (table 4 funcref)
        (func $i (result i64) (i64.const 0)) (elem (i32.const 2) $i)"""
    assert trap(harness, start(body, rest)) == kind


def test_types_that_are_equal_are_one_type(harness: Harness) -> None:
    text = start(
        "(call_indirect (type $b) (i32.const 4) (i64.const 5) (i32.const 0))",
        """(type $a (func (param i32 i64))) (type $b (func (param i32 i64)))
        (table 1 funcref) (elem (i32.const 0) $f) (func $f (type $a) (call $emit (local.get 0)))""",
    )
    assert signals(harness, text) == [4]


def test_bulk_memory_at_the_very_end_and_overlapping(harness: Harness) -> None:
    text = start(
        """(memory.fill (i32.const 65536) (i32.const 1) (i32.const 0))
        (memory.copy (i32.const 65536) (i32.const 65536) (i32.const 0))
        (memory.fill (i32.const 65530) (i32.const 0x1AB) (i32.const 6))
        (memory.copy (i32.const 3) (i32.const 0) (i32.const 20))
        (memory.copy (i32.const 100) (i32.const 103) (i32.const 30))
        (memory.copy (i32.const 65526) (i32.const 65530) (i32.const 6))""",
        '(data (i32.const 0) "abcdefghijklmnopqrstuvwxyz") (data (i32.const 100) "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567")',
    )
    assert signals(harness, text) == []


def test_the_memory_grows_by_nothing_only(harness: Harness) -> None:
    text = start(
        "(call $emit (memory.size)) (call $emit (memory.grow (i32.const 1))) (call $emit (memory.grow (i32.const 0)))"
    )
    assert signals(harness, text) == [1, 0xFFFF_FFFF, 1]


def test_no_memory_and_no_page_trap_alike(harness: Harness) -> None:
    assert trap(harness, '(memory 0) (func (export "_start") (drop (i32.load8_u (i32.const 0))))') == "memory"
    assert (
        signals(harness, '(memory 0) (func (export "_start") (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))')
        == []
    )


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        ('(data (i32.const 65536) "x")', "memory"),
        ('(data (i32.const -1) "x")', "memory"),
        ("(data (i32.const 65537))", "memory"),
        ("(table 1 funcref) (elem (i32.const 1) $shred)", "illegal"),
        ("(table 1 funcref) (elem (i32.const -1) $shred)", "illegal"),
        ("(table 1 funcref) (elem (i32.const 2))", "illegal"),
    ],
)
def test_a_segment_that_does_not_fit_traps_before_the_entry(harness: Harness, rest: str, kind: str) -> None:
    assert trap(harness, start("(call $emit (i32.const 1))", rest)) == kind


def test_segments_and_globals_have_the_values_of_their_constant_expressions(harness: Harness) -> None:
    text = start(
        "(call $emit (global.get $a)) (call $emit (i32.load (i32.const 7))) (global.set $b (i64.const -1))",
        """(global $a i32 (i32.mul (i32.sub (i32.const 2) (i32.const 5)) (i32.add (i32.const 7)
          (i32.const 2147483647))))
        (global $b (mut i64) (i64.sub (i64.mul (i64.const 3) (i64.const -5)) (i64.add (i64.const 1) (i64.const 2))))
        (global $c f32 (f32.const nan:0x200001)) (global $d f64 (f64.const -0.5))
        (data (i32.add (i32.const 3) (i32.const 4)) "\\01\\02\\03\\04")""",
    )
    assert signals(harness, text) == [(-3 * 0x8000_0006) & 0xFFFF_FFFF, 0x0403_0201]


def test_immediates_may_be_padded(harness: Harness) -> None:
    one = module(
        "41 ff80808000 1a 4180808000 2880808000 8780808000 1a 4100 4100 4102 fc0a 8000 8000 42 ffffffffffffffffff00 1a"
    )
    one = reference.exposed(one)
    assert harness.run(one)[1] == reference.run(one)
