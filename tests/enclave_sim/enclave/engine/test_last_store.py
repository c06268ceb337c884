"""The last store of a guest to some bytes before its current position, and the instruction."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enclave_sim.enclave.engine.contract import HostCall, Preempted, Returned, Trapped
from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.places import store_text
from enclave_sim.payload.wasm.sections import bodies
from tests.enclave_sim.enclave.engine.conftest import PAGE
from tests.enclave_sim.enclave.engine.generated_guests import depart, module, programs

Make = Callable[..., Any]


@pytest.fixture(scope="module", params=[True, False], ids=["guarded", "portable"])
def shared(request: pytest.FixtureRequest, bench: Make) -> Any:
    return bench(guarded=request.param)


@pytest.mark.slow
@settings(max_examples=60)
@given(program=programs, budgets=st.lists(st.integers(1, 200), max_size=50))
@example(
    program="""(loop $l (i32.store (local.get $n) (local.get $n))
      (memory.fill (local.get $n) (i32.const 3) (local.get $n))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))""",
    budgets=[1] * 40,
)
def test_the_guest_that_notes_its_stores_gets_to_every_departure_with_the_same_memory(
    shared: Any, program: str, budgets: list[int]
) -> None:
    wasm = module(program)
    names = {one.offset: one.name for body in bodies(wasm) for one in disassembly(wasm, body)}
    last = None
    for departure in depart(shared, wasm, budgets):
        find = shared.engine.store_finder(range(shared.size))
        if isinstance(departure, Trapped) and not find():
            continue  # memory is not exact there: a bulk instruction may stop anywhere
        store = find()
        assert store is not None
        assert store.module == wasm
        if store.offset is not None:
            assert ".store" in names[store.offset] or names[store.offset] in ("memory.copy", "memory.fill")
            last = store
        assert (store == last) or last is None


def writer(b: Any, text: str, where: range, *, calls: int = 0) -> str | None:
    """The last writer of these bytes of linear memory, as text, at the end or in a host call."""
    first = b.size - b.start(text)
    departures = [b.engine.resume(0, 1 << 40) for _ in range(calls)] if calls else b.run()
    assert isinstance(departures[-1], HostCall if calls else Returned)
    store = b.engine.store_finder(range(first + where.start, first + where.stop))()
    return None if store is None else store_text(store.module, store.offset).partition(", ")[2] or "data"


TWO = """(memory 1) (func (export "_start") (i32.store8 (i32.const 7) (i32.const 1)) (call $emit (i32.const 0))
  (i64.store32 offset=4 align=1 (i32.const 6) (i64.const 0x01020304)) (call $emit (i32.const 0)))"""


@pytest.mark.parametrize(
    ("text", "where", "calls", "name"),
    [
        (TWO, range(7, 8), 1, "i32.store8"),
        (TWO, range(0, 16), 2, "i64.store32"),
        (TWO, range(10, 11), 2, "i64.store32"),
        (TWO, range(13, 14), 2, "i64.store32"),
        (TWO, range(14, 15), 2, "data"),  # no writer: as if by the segments, of which there are none
        (TWO, range(9, 10), 2, "data"),
        (TWO, range(0, 10), 2, "i32.store8"),
    ],
)
def test_a_store_counts_for_exactly_the_bytes_that_it_wrote(
    shared: Any, text: str, where: range, calls: int, name: str
) -> None:
    assert writer(shared, text, where, calls=calls) == name


@pytest.mark.parametrize(
    ("code", "where", "name"),
    [
        ("(memory.fill (i32.const 8) (i32.const 1) (i32.const 4))", range(11, 12), "memory.fill"),
        ("(memory.fill (i32.const 8) (i32.const 1) (i32.const 0))", range(0, 64), "i32.store"),
        ("(memory.copy (i32.const 8) (i32.const 0) (i32.const 4))", range(8, 9), "memory.copy"),
        ("(f64.store (i32.const 8) (f64.const 1))", range(15, 16), "f64.store"),
        ("(f32.store (i32.const 8) (f32.const 1))", range(12, 16), "data"),
        ("(i64.store16 offset=0xff8 (i32.const 8) (i64.const 1))", range(0x1001, 0x1002), "i64.store16"),
    ],
)
def test_every_kind_of_store_is_noted(shared: Any, code: str, where: range, name: str) -> None:
    text = f'(memory 1) (func (export "_start") (i32.store (i32.const 0) (i32.const 9)) {code})'
    assert writer(shared, text, where) == name


def test_stores_of_optional_features_are_noted(bench: Make) -> None:
    b = bench(features=("simd", "bulk-memory"))
    text = """(memory 1) (data $d "abc") (func (export "_start")
      (memory.init $d (i32.const 3) (i32.const 0) (i32.const 3))
      (v128.store offset=16 (i32.const 0) (v128.const i32x4 1 2 3 4))
      (v128.store16_lane offset=64 1 (i32.const 0) (v128.const i16x8 1 2 3 4 5 6 7 8)))"""
    found = [writer(b, text, range(at, at + 1)) for at in (5, 31, 65, 66)]
    assert found == ["memory.init", "v128.store", "v128.store16_lane", "data"]


def test_a_module_with_globals_and_an_export_of_any_name_is_noted(shared: Any) -> None:
    text = """(memory 1) (global $g (export "note0") (mut i32) (i32.const 4)) (func (export "_start")
      (i32.store (global.get $g) (i32.const 1)))"""
    assert writer(shared, text, range(4, 5)) == "i32.store"


def test_data_segments_are_named_as_the_writer(shared: Any) -> None:
    assert writer(shared, '(memory 1) (data (i32.const 9) "x") (func (export "_start"))', range(9, 10)) == "data"


def test_a_guest_whose_segments_trap_has_stored_nothing(shared: Any) -> None:
    shared.start('(memory 1) (data (i32.const 0) "x") (data (i32.const -1) "x") (func (export "_start"))')
    assert isinstance(shared.run()[-1], Trapped)
    assert shared.engine.store_finder(range(shared.size))() is None


@pytest.mark.slow
def test_a_module_too_large_to_note_its_stores_quickly_is_not_compiled(shared: Any) -> None:
    stores = "(i32.store (i32.const 0) (i32.const 1))" * 10_000
    shared.start(f'(memory 1) (func (export "_start") {stores})')
    shared.run()
    before = len(shared.engine._shadow_guest()._prepared)
    assert shared.engine.store_finder(range(shared.size))() is None
    assert len(shared.engine._shadow_guest()._prepared) == before


def test_what_was_changed_from_outside_is_not_the_guests(shared: Any) -> None:
    shared.start(TWO)
    shared.engine.resume(0, 1 << 40)
    shared.memory.zero(shared.size - PAGE + 7, 1)
    assert shared.engine.store_finder(range(shared.size - PAGE, shared.size))() is None


def test_a_preempted_guest_is_asked_where_it_is(shared: Any) -> None:
    shared.start("""(memory 1) (func (export "_start") (local $n i32) (loop $l
      (i32.store8 (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1)) (br $l)))""")
    first = shared.size - PAGE
    while isinstance(shared.engine.resume(0, 100), Preempted) and not shared.heap()[first + 30]:
        pass
    reached = shared.heap()[first:].rstrip(b"\0")
    (here, beyond) = (
        shared.engine.store_finder(range(at, at + 1)) for at in (first + len(reached) - 1, shared.size - 1)
    )
    assert here().offset is not None
    assert beyond().offset is None


def test_without_a_guest_or_beside_its_memory_there_is_nothing_to_ask(bench: Make) -> None:
    b = bench()
    assert b.engine.store_finder(range(b.size)) is None
    b.start(TWO)
    assert b.engine.store_finder(range(b.size)) is None
    b.engine.resume(0, 1 << 40)
    assert b.engine.store_finder(range(b.size - PAGE)) is None
    assert b.engine.store_finder(range(b.size)) is not None
    b.engine.destroy()
    assert b.engine.store_finder(range(b.size)) is None
