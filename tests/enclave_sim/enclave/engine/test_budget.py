"""Preemption: at the first place at or after the budget, reproducibly, and without an effect on the guest's time."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.enclave.engine import coroutine
from enclave_sim.enclave.engine.contract import Departure, HostCall, Preempted, Returned, Trapped
from enclave_sim.enclave.engine.coroutine import SLICE_NS
from tests.sampling import sampled

Make = Callable[..., Any]

LOOPS = """(memory 1) (data (i32.const 8) "forty bytes that take time to be written")
  (func $inner (param $n i32) (loop $l (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get $n)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "_start") (local $i i32)
    (loop $l
      (call $inner (i32.add (i32.const 1) (i32.rem_u (local.get $i) (i32.const 7))))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 5))) (then
        (i32.store (i32.const 4) (i32.xor (i32.load (i32.const 4)) (call $status)))))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 9))) (then (call $emit (i32.load (i32.const 0)))))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 11))) (then
        (memory.fill (i32.const 100) (local.get $i) (i32.mul (local.get $i) (i32.const 17)))))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 13))) (then
        (memory.copy (i32.const 8) (local.get $i) (i32.mul (local.get $i) (i32.const 31)))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 60))))
    (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200))))
    {end})"""
ENDS = {
    "returns": "",
    "unreachable": "unreachable",
    "division": "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
    "out of bounds": "(drop (i32.load (i32.const 65533)))",
    "conversion": "(drop (i32.trunc_f64_s (f64.const nan)))",
    "fill out of bounds": "(memory.fill (i32.const 65000) (i32.const 1) (i32.const 537))",
    "copy out of bounds": "(memory.copy (i32.const 0) (i32.const 65535) (i32.const -1))",
}
BUDGETS = st.lists(st.integers(0, 300) | st.sampled_from([1000, 1 << 40]), max_size=400)


def places(departures: list[Departure]) -> list[tuple[Departure, int]]:
    """Every departure with the time since the guest's beginning."""
    at, found = 0, []
    for departure in departures:
        at += departure.elapsed_ns
        found.append((departure, at))
    return found


def without_preemption(departures: list[Departure]) -> list[tuple[object, ...]]:
    """The guest's actions and their times, in the guest's time."""
    did: list[tuple[object, ...]] = []
    for departure, at in places(departures):
        match departure:
            case HostCall(number, argument):
                did.append((number, argument, at))
            case Trapped(kind, detail):
                did.append((kind, detail, at))
            case Returned():
                did.append(("returned", at))
    return did


@pytest.fixture(scope="module")
def whole(bench: Make) -> dict[str, tuple[Any, list[Departure], bytes]]:
    """Each guest runs to its end without preemption and, on the same bench, with preemption at every possible place."""
    runs = {}
    for name, end in ENDS.items():
        b = bench()
        b.start(LOOPS.format(end=end))
        runs[name] = (b, b.run(), b.heap())
    return runs


@pytest.mark.parametrize("end", ENDS)
@settings(max_examples=40)
@given(budgets=BUDGETS)
def test_what_a_guest_does_and_when_is_the_same_for_all_budgets(
    whole: dict[str, tuple[Any, list[Departure], bytes]], end: str, budgets: list[int]
) -> None:
    b, unbroken, heap = whole[end]
    b.start(LOOPS.format(end=ENDS[end]))
    assert without_preemption(b.run(budgets)) == without_preemption(unbroken)
    assert b.heap() == heap


@pytest.mark.parametrize(
    "end", ["division", "out of bounds", "unreachable", "fill out of bounds", "copy out of bounds"]
)
@settings(max_examples=40)
@given(budgets=BUDGETS, slice_ns=st.integers(1, 400))
def test_the_date_of_a_trap_is_the_same_for_all_budgets_however_slices_fall(
    bench: Make, end: str, budgets: list[int], slice_ns: int
) -> None:
    b = bench()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coroutine, "SLICE_NS", slice_ns)
        b.start(LOOPS.format(end=ENDS[end]))
        unbroken = b.run()
        b.start(LOOPS.format(end=ENDS[end]))
        assert without_preemption(b.run(budgets)) == without_preemption(unbroken)


@pytest.mark.parametrize("end", ENDS)
@settings(max_examples=20)
@given(budgets=BUDGETS, slice_ns=st.integers(1, 400))
def test_native_code_cuts_a_stay_into_the_same_slices(bench: Make, end: str, budgets: list[int], slice_ns: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coroutine, "SLICE_NS", slice_ns)
        runs = []
        for portable in (False, True):
            b = bench(portable=portable)
            b.start(LOOPS.format(end=ENDS[end]))
            runs.append((b.run(budgets), b.heap()))
        assert runs[0] == runs[1]


@settings(max_examples=60)
@given(budgets=BUDGETS)
def test_preemption_comes_at_the_first_place_at_or_after_the_budget(
    whole: dict[str, tuple[Any, list[Departure], bytes]], budgets: list[int]
) -> None:
    """Budget 1 stops at every possible place; these predict every run exactly."""
    b = whole["returns"][0]
    b.start(LOOPS.format(end=""))
    every = places(b.run([1] * 10_000))
    at, expected = 0, []
    for budget in [*budgets, *[1 << 40] * 10_000]:
        departure, at = next(
            (d, t) for d, t in every if t > at and (not isinstance(d, Preempted) or t >= at + max(budget, 1))
        )
        expected.append((type(departure), at))
        if isinstance(departure, Returned):
            break
    b.start(LOOPS.format(end=""))
    assert [(type(d), t) for d, t in places(b.run(budgets))] == expected


def test_a_budget_is_counted_from_the_resume_after_a_host_call(bench: Make) -> None:
    b = bench()
    b.start("""(func (export "_start") (local $i i32)
      (loop $before (br_if $before (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
      (drop (call $status))
      (loop $after (br $after)))""")
    call = b.engine.resume(0, 1000)
    assert isinstance(call, HostCall)
    assert 300 < call.elapsed_ns < 1000
    for _ in range(3):
        assert 1000 <= b.engine.resume(0, 1000).elapsed_ns < 1010


@pytest.mark.parametrize("budget", [-5, 0, 1])
def test_the_smallest_budgets_still_get_the_guest_further(bench: Make, budget: int) -> None:
    b = bench()
    b.start(LOOPS.format(end=""))
    departures = b.run([budget] * 10_000)
    assert isinstance(departures[-1], Returned)
    assert all(d.elapsed_ns >= 1 for d in departures if isinstance(d, Preempted))


@pytest.mark.parametrize("budget", [1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 64, 1 << 80])
def test_a_huge_budget_never_preempts(bench: Make, budget: int) -> None:
    b = bench()
    b.start("""(func (export "_start") (local $i i32)
      (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000000)))))""")
    departure = b.engine.resume(0, budget)
    assert isinstance(departure, Returned)
    assert departure.elapsed_ns > 5 * SLICE_NS


def test_a_trap_that_is_not_accounted_is_dated_at_the_end_of_its_slice(both: Any) -> None:
    for loops in (1, 1000, 200_000, 400_000):
        both.start(f"""(memory 1) (func (export "_start") (local $i i32)
          (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {loops}))))
          (drop (i32.load (i32.const -1))))""")
        (trapped,) = both.run()
        assert isinstance(trapped, Trapped)
        assert trapped.elapsed_ns == (loops * 7 // SLICE_NS + 1) * SLICE_NS


def test_a_trap_takes_its_time_wherever_the_slices_were_cut(bench: Make) -> None:
    b = bench()
    seen = set()
    for budgets in ((), [999_999] * 3, [1_000_000] * 3, [1_000_001] * 3, [123_457] * 30, [1] * 300):
        b.start("""(func (export "_start") (local $i i32)
          (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 400000))))
          (drop (i32.div_s (i32.const 1) (i32.const 0))))""")
        seen.add(places(b.run(budgets))[-1][1])
    assert seen == {3 * SLICE_NS}


def test_the_first_budget_includes_the_writing_of_segments(bench: Make) -> None:
    b = bench()
    for size, budget, spent in ((600, 1000, 1000), (600, 601, 601), (600, 100, 601), (600, 600, 601)):
        b.start(f"""(memory 1) (data (i32.const 0) "{"x" * size}") (func (export "_start") (loop $l (br $l)))""")
        assert spent <= b.engine.resume(0, budget).elapsed_ns <= spent + 4


BULK = {
    "fill": "(memory.fill (i32.const 0) (i32.const 1) (i32.const {}))",
    "copy up": "(memory.copy (i32.const 7) (i32.const 0) (i32.const {}))",
    "copy down": "(memory.copy (i32.const 0) (i32.const 7) (i32.const {}))",
    "copy to itself": "(memory.copy (i32.const 0) (i32.const 0) (i32.const {}))",
}


@pytest.mark.parametrize("name", BULK)
def test_bulk_memory_takes_a_nanosecond_a_byte(both: Any, name: str) -> None:
    spent = []
    for size in (0, 1, 15, 16, 64, 1000, 65_529, 1_000_000):
        both.start(f"""(memory 16) (func (export "_start") {BULK[name].format(size)} (call $emit (i32.const 0)))""")
        spent.append((size, sum(d.elapsed_ns for d in both.run([1, 1, 1]))))
    idle = spent[0][1]
    assert [time - idle for _, time in spent] == [size for size, _ in spent]


def test_bulk_memory_out_of_bounds_takes_no_time_and_writes_nothing(both: Any) -> None:
    """Bounds are checked before the first byte (WebAssembly core specification, 4.4.7), even if there is none."""
    for attempt in (
        "(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))",
        "(memory.fill (i32.const 65537) (i32.const 1) (i32.const 0))",
        "(memory.fill (i32.const 1) (i32.const 1) (i32.const -1))",
        "(memory.copy (i32.const 65530) (i32.const 0) (i32.const 7))",
        "(memory.copy (i32.const 1) (i32.const 2) (i32.const -2))",
        "(memory.copy (i32.const 0) (i32.const 65537) (i32.const 0))",
    ):
        both.start(f"""(memory 1) (data (i32.const 0) "data") (func (export "_start") {attempt})""")
        (trapped,) = both.run()
        assert (trapped.detail, trapped.elapsed_ns) == ("out of bounds memory access", SLICE_NS)
        assert both.heap()[-65536:] == b"data".ljust(65536, b"\0")
        assert set(both.behind()) <= {0xEE}
        assert both.engine.backtrace().frames[0].offset is not None


def test_bulk_memory_at_the_very_end_is_in_bounds(both: Any) -> None:
    both.start("""(memory 1) (data (i32.const 65529) "written") (func (export "_start")
      (memory.fill (i32.const 65536) (i32.const 1) (i32.const 0)) (memory.copy (i32.const 65536) (i32.const 65536)
      (i32.const 0)) (memory.copy (i32.const 65528) (i32.const 65529) (i32.const 7))
      (memory.fill (i32.const 65535) (i32.const 0x12a) (i32.const 1)))""")
    assert isinstance(both.run()[-1], Returned)
    assert both.heap()[-9:] == b"\0written*"


TRACE = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
bench = module.Bench(guarded=sys.argv[3] == "True")
bench.start(sys.argv[2])
print(json.dumps([[repr(d), bench.heap()[-65536:-65520].hex()] for d in (
    bench.engine.resume(0x1F, budget) for budget in [100, 1, 37, 500, 64] * 20)]))
"""


@pytest.mark.parametrize("guarded", sampled([True, False], True))
def test_preemption_repeats_exactly_in_this_and_in_another_process(bench: Make, guarded: bool) -> None:
    text = LOOPS.format(end="(loop $forever (br $forever))")
    traces = []
    for _ in range(2):
        b = bench(guarded=guarded)
        b.start(text)
        trace = []
        for budget in [100, 1, 37, 500, 64] * 20:
            departure = b.engine.resume(0x1F, budget)
            trace.append([repr(departure), b.heap()[-65536:-65520].hex()])
        traces.append(trace)
    command = [sys.executable, "-c", TRACE, str(Path(__file__).with_name("conftest.py")), text, str(guarded)]
    other = subprocess.run(command, capture_output=True, check=True, text=True)
    assert traces[0] == traces[1] == json.loads(other.stdout)
    assert "Preempted" in str(traces)
    assert "HostCall" in str(traces)
