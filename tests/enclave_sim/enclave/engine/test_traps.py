"""Every way a guest can trap, on guarded memory and on memory whose bounds are checked by code."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from enclave_sim.enclave.engine.contract import HostCall, Returned, TrapKind, Trapped

Make = Callable[..., Any]
OUT = (TrapKind.MEMORY_OUT_OF_BOUNDS, "out of bounds memory access")
DIVIDE_ZERO = (TrapKind.DIVIDE, "integer divide by zero")
OVERFLOW = (TrapKind.DIVIDE, "integer overflow")
TOO_LARGE = (TrapKind.ILLEGAL, "integer overflow")
NOT_A_NUMBER = (TrapKind.ILLEGAL, "invalid conversion to integer")
TABLE = "(type $v (func)) (type $i (func (param i32))) (func $i (type $i)) (table 2 funcref) (elem (i32.const 0) $i)"


def outcome(b: Any, body: str, before: str = "(memory 1)") -> tuple[TrapKind, str] | str:
    b.start(f'{before} (func (export "_start") {body})')
    departure = b.run()[-1]
    return (departure.kind, departure.detail) if isinstance(departure, Trapped) else type(departure).__name__


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("unreachable", (TrapKind.ILLEGAL, "unreachable")),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", DIVIDE_ZERO),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", DIVIDE_ZERO),
        ("(drop (i32.rem_s (i32.const 1) (i32.const 0)))", DIVIDE_ZERO),
        ("(drop (i64.rem_u (i64.const 1) (i64.const 0)))", DIVIDE_ZERO),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", OVERFLOW),
        ("(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))", OVERFLOW),
        ("(drop (i32.rem_s (i32.const 0x80000000) (i32.const -1)))", "Returned"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", NOT_A_NUMBER),
        ("(drop (i64.trunc_f64_u (f64.const nan)))", NOT_A_NUMBER),
        *(
            (f"(drop ({to}.trunc_{of}_{sign} ({of}.const 1e30)))", TOO_LARGE)
            for to in ("i32", "i64")
            for of in ("f32", "f64")
            for sign in "su"
        ),
        ("(drop (i32.trunc_sat_f32_s (f32.const 1e20)))", "Returned"),
        ("(call_indirect (type $v) (i32.const 0))", (TrapKind.ILLEGAL, "indirect call type mismatch")),
        ("(call_indirect (type $v) (i32.const 1))", (TrapKind.ILLEGAL, "uninitialized element")),
        ("(call_indirect (type $v) (i32.const 2))", (TrapKind.ILLEGAL, "out of bounds table access")),
        ("(drop (i32.load (i32.const -1)))", OUT),
    ],
)
def test_a_trap_has_its_kind_and_name(both: Any, body: str, expected: object) -> None:
    assert outcome(both, body, f"{TABLE} (memory 1)") == expected


def test_endless_recursion_overflows_the_stack_at_the_same_depth_every_time(both: Any) -> None:
    runs = []
    for budgets in ((), (), [7] * 100):
        both.start('(func $f (call $f)) (export "_start" (func $f))')
        departures = both.run(budgets)
        runs.append(sum(d.elapsed_ns for d in departures))
        assert departures[-1].kind is TrapKind.STACK_OVERFLOW
        assert departures[-1].detail == "call stack exhausted"
    assert len(set(runs)) == 1


WIDTHS = [("i32.load8_u", 1), ("i32.load16_u", 2), ("i32.load", 4), ("i64.load", 8), ("f64.load", 8)]


@pytest.mark.parametrize(("load", "width"), WIDTHS)
@pytest.mark.parametrize("pages", [1, 2, 16])
def test_loads_are_bounded_to_the_byte(both: Any, load: str, width: int, pages: int) -> None:
    end, memory = pages * 65536, f"(memory {pages})"
    assert outcome(both, f"(drop ({load} (i32.const {end - width})))", memory) == "Returned"
    for address in (end - width + 1, end, 0x7FFFFFFF, 0xFFFFFFFF):
        assert outcome(both, f"(drop ({load} (i32.const {address})))", memory) == OUT
    assert outcome(both, f"(drop ({load} offset={end - width} (i32.const 0)))", memory) == "Returned"
    assert outcome(both, f"(drop ({load} offset={end - width} (i32.const 1)))", memory) == OUT
    assert outcome(both, f"(drop ({load} offset=0xffffffff (i32.const -1)))", memory) == OUT


@pytest.mark.parametrize(("store", "width"), [("i32.store8", 1), ("i32.store16", 2), ("i32.store", 4)])
def test_stores_are_bounded_to_the_byte_and_leave_nothing_behind_the_heap(both: Any, store: str, width: int) -> None:
    assert outcome(both, f"({store} (i32.const {65536 - width}) (i32.const -1))") == "Returned"
    assert both.heap()[-width - 1 :] == b"\0" + b"\xff" * width
    for address in range(65536 - width + 1, 65536 + 9):
        assert outcome(both, f"({store} (i32.const {address}) (i32.const -1))") == OUT
    assert both.heap() == bytes(both.size)
    assert set(both.behind()) <= {0xEE}


def test_linear_memory_is_the_very_end_of_the_heap(both: Any) -> None:
    assert both.start('(memory 2) (data (i32.const 0) "first") (func (export "_start"))') == 2 * 65536
    both.run()
    assert both.heap() == bytes(14 * 65536) + b"first" + bytes(2 * 65536 - 5)


def test_what_the_machine_writes_there_the_guest_reads(both: Any) -> None:
    both.start('(memory 1) (func (export "_start") (call $emit (i32.load (i32.const 8))))')
    ctypes.memmove(both.memory.address + both.size - 65536 + 8, b"\x2a\0\0\0", 4)
    assert both.run()[0].argument == 42


def test_data_segments_are_written_by_the_first_resume(both: Any) -> None:
    both.start('(memory 1) (data (i32.const 0) "x") (func (export "_start"))')
    assert both.heap() == bytes(both.size)
    both.run()
    assert both.heap()[-65536:-65535] == b"x"


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ('(memory 1) (data (i32.const 65534) "ab")', "Returned"),
        ('(memory 1) (data (i32.const 65535) "ab")', OUT),
        ("(table 1 funcref) (func $f) (elem (i32.const 0) $f)", "Returned"),
        ("(table 1 funcref) (func $f) (elem (i32.const 1) $f)", (TrapKind.ILLEGAL, "out of bounds table access")),
    ],
)
def test_segments_out_of_bounds_trap_in_the_first_resume(both: Any, segment: str, expected: object) -> None:
    assert outcome(both, "", segment) == expected


@pytest.mark.parametrize("memory", ["(memory 0)", "(memory 1)", "(memory 1 1)", "(memory 1 8)"])
def test_memory_never_grows(both: Any, memory: str) -> None:
    both.start(
        f"""{memory} (func (export "_start")
        (call $emit (memory.grow (i32.const 1))) (call $emit (memory.grow (i32.const 65536)))
        (call $emit (memory.grow (i32.const 0))) (call $emit (memory.size)))"""
    )
    pages = int(memory.split()[1].strip(")"))
    assert [d.argument for d in both.run() if isinstance(d, HostCall)] == [0xFFFFFFFF, 0xFFFFFFFF, pages, pages]


def test_tables_grow_to_the_limit_and_no_further(bench: Make) -> None:
    b = bench(features=["reference-types"])
    b.start(
        """(table 1 funcref) (func (export "_start")
        (call $emit (table.grow (ref.null func) (i32.const 65536)))
        (call $emit (table.grow (ref.null func) (i32.const 65535))) (call $emit (table.size)))"""
    )
    assert [d.argument for d in b.run() if isinstance(d, HostCall)] == [0xFFFFFFFF, 1, 65536]


@pytest.mark.parametrize("guarded", [True, False])
def test_reference_types_leave_the_linear_memory_where_it_is(bench: Make, guarded: bool) -> None:
    """wasmtime then makes a second, empty memory by the same creator."""
    b = bench(guarded=guarded, features=["reference-types"])
    b.start("""(memory 1) (table 4 externref) (data (i32.const 0) "\\2a") (func (export "_start")
        (table.set (i32.const 0) (ref.null extern))
        (call $emit (i32.load (i32.const 0))) (call $emit (memory.grow (i32.const 0)))
        (i32.store8 (i32.const 65535) (i32.const 7)) (drop (i32.load8_u (i32.const 65536))))""")
    call, size, trapped = b.run()
    assert (call.argument, size.argument, b.heap()[-1]) == (42, 1, 7)
    assert trapped.kind is TrapKind.MEMORY_OUT_OF_BOUNDS


def test_nans_are_canonical(both: Any) -> None:
    """Every operation gives the one NaN, whatever the payload and the sign of its operands."""
    both.start(
        """(memory 1) (func (export "_start")
        (f32.store (i32.const 0) (f32.add (f32.const -nan:0x200001) (f32.const 1)))
        (f64.store (i32.const 8) (f64.div (f64.const 0) (f64.const 0)))
        (f32.store (i32.const 16) (f32.sqrt (f32.const -1))))"""
    )
    assert isinstance(both.run()[-1], Returned)
    memory = both.heap()[-65536:]
    assert (memory[0:4], memory[8:16], memory[16:20]) == (
        bytes.fromhex("0000c07f"),
        bytes.fromhex("000000000000f87f"),
        bytes.fromhex("0000c07f"),
    )
