"""A guest's backtrace: exactly at the instruction where it is suspended, without a change to the guest."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enclave_sim.cancellation import Cancelled
from enclave_sim.enclave.engine.contract import (
    MAX_FRAMES,
    Backtrace,
    Departure,
    HostCall,
    Preempted,
    Returned,
    Trapped,
)
from enclave_sim.payload.wasm.disassembler import WasmInstruction, disassembly
from enclave_sim.payload.wasm.sections import bodies
from enclave_sim.specification import HostFunction
from tests.enclave_sim.enclave.engine.generated_guests import depart, module, programs, traps

Make = Callable[..., Any]
IMPORTED = 2
"""Functions of `module` that are imported: get_status, emit_signal."""
ASKS = """(memory 1) (func $ask (result i32) (call $status)) (func $tick (drop (call $ask)))
  (func (export "_start") (loop $l (call $tick) (br $l)))"""
SPINS = '(memory 1) (func (export "_start") (loop $l (br $l)))'


def instruction(backtrace: Backtrace, frame: int = 0) -> WasmInstruction | None:
    """The instruction of a frame; None at a function's entry, before its first instruction."""
    one = backtrace.frames[frame]
    (body,) = (body for body in bodies(backtrace.module) if body.function == one.function)
    code = {one.offset: one for one in disassembly(backtrace.module, body)}
    return None if one.offset is None or body.start <= one.offset < min(code) else code[one.offset]


def assert_there(b: Any, wasm: bytes, departure: Departure) -> None:
    """The answer is where the guest is, and the asked guest ran like this one."""
    backtrace = b.engine.backtrace()
    assert backtrace is not None
    assert backtrace.module == wasm
    assert backtrace.frames[-1].function == IMPORTED + len(list(bodies(wasm))) - 1  # _start
    here = instruction(backtrace)
    if isinstance(departure, HostCall):
        assert here is not None
        assert (here.name, here.function) == ("call", departure.number)
    elif isinstance(departure, Preempted):
        assert here is None or here.name in ("loop", "memory.grow", "memory.fill", "memory.copy")  # all accounted for
    for caller, called in zip(backtrace.frames[1:], backtrace.frames, strict=False):
        frame = backtrace.frames.index(caller)
        call = instruction(backtrace, frame)
        assert call is not None
        assert call.function == called.function or call.name == "call_indirect"
    second = b.engine._shadow._memory
    assert ctypes.string_at(second.address, second.size) == b.heap()


@pytest.fixture(scope="module", params=[True, False], ids=["guarded", "portable"])
def shared(request: pytest.FixtureRequest, bench: Make) -> Any:
    return bench(guarded=request.param)


@pytest.mark.slow
@settings(max_examples=60)
@given(program=programs, budgets=st.lists(st.integers(1, 200), max_size=50))
@example(
    program="""(loop $l (loop $m)
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))""",
    budgets=[1] * 40,
)
def test_at_every_departure_the_answer_is_that_instruction_and_the_run_goes_on_as_without(
    shared: Any, program: str, budgets: list[int]
) -> None:
    wasm = module(program)
    unasked = list(depart(shared, wasm, budgets))
    left = shared.heap()
    asked = []
    for departure in depart(shared, wasm, budgets):
        asked.append(departure)
        before = shared.heap(), shared.engine.save_state()["progress"]
        if not isinstance(departure, Returned | Trapped):
            assert_there(shared, wasm, departure)
        assert (shared.heap(), shared.engine.save_state()["progress"]) == before
    assert (asked, shared.heap()) == (unasked, left)
    assert shared.engine.backtrace() is None


@settings(max_examples=40)
@given(program=programs, trap=traps, budgets=st.lists(st.integers(1, 200), max_size=20))
def test_a_trap_is_told_at_the_instruction_that_traps_until_the_next_guest(
    shared: Any, program: str, trap: str, budgets: list[int]
) -> None:
    wasm = module(f"{program} {trap}")
    *_, last = depart(shared, wasm, budgets)
    backtrace = shared.engine.backtrace()
    if isinstance(last, Trapped):
        shared.engine.destroy()
        assert shared.engine.backtrace() == backtrace
        here = instruction(backtrace)
        assert here is not None
        assert here.name in trap
    shared.engine.instantiate(0)
    assert shared.engine.backtrace() is None


def test_calls_are_reported_from_the_innermost_out(both: Any) -> None:
    both.start(ASKS)
    both.engine.resume(0, 1 << 40)
    for _ in range(3):
        backtrace = both.engine.backtrace()
        assert [frame.function for frame in backtrace.frames] == [3, 4, 5]
        assert [getattr(instruction(backtrace, at), "function", None) for at in range(3)] == [0, 3, 4]
        both.engine.resume(7, 1 << 40)


def test_a_guest_that_has_to_catch_up_is_reported_without_catching_up(both: Any) -> None:
    both.start(ASKS)
    for answer in range(5):
        both.engine.resume(answer, 1 << 40)
    expected, state = both.engine.backtrace(), both.engine.save_state()
    both.engine.load_state(state)
    assert both.engine.backtrace() == expected
    assert both.engine._owed is not None
    both.engine.load_progress(state["progress"].plain(state["payloads"]))
    assert both.engine.backtrace() == expected
    assert isinstance(both.engine.resume(5, 1 << 40), HostCall)


def test_where_a_guest_trapped_comes_back_with_the_state(bench: Make) -> None:
    b = bench()
    b.start('(memory 1) (func (export "_start") unreachable)')
    b.run()
    state, expected = b.engine.save_state(), b.engine.backtrace()
    b.engine.instantiate(0)
    b.engine.load_state(state)
    assert expected is not None
    assert b.engine.backtrace() == expected


def test_without_a_guest_or_before_its_entry_there_is_no_answer(bench: Make) -> None:
    b = bench()
    assert b.engine.backtrace() is None
    b.start(ASKS)
    assert b.engine.backtrace() is None
    b.engine.resume(0, 1 << 40)
    assert b.engine.backtrace() is not None
    b.engine.destroy()
    assert b.engine.backtrace() is None


def test_a_trap_while_segments_are_written_stands_in_no_function(bench: Make) -> None:
    b = bench()
    b.start('(memory 1) (data (i32.const -1) "x") (func (export "_start"))')
    assert isinstance(b.run()[-1], Trapped)
    assert b.engine.backtrace() is None


def test_of_a_deep_recursion_the_innermost_calls_are_reported(bench: Make) -> None:
    b = bench()
    b.start("""(func $deep (param i32) (if (local.get 0)
      (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $shred))))
      (func (export "_start") (call $deep (i32.const 100)))""")
    assert isinstance(b.engine.resume(0, 1 << 40), HostCall)
    frames = b.engine.backtrace().frames
    assert len(frames) == MAX_FRAMES
    assert {frame.function for frame in frames} == {3}


def test_a_stack_overflow_is_reported(bench: Make) -> None:
    b = bench()
    b.start('(func $deep (export "_start") (call $deep))')
    assert isinstance(b.run()[-1], Trapped)
    backtrace = b.engine.backtrace()
    assert {frame.function for frame in backtrace.frames} == {3}
    assert instruction(backtrace) is None
    assert instruction(backtrace, 1) is not None


def test_a_guest_at_the_very_end_of_its_stack_is_repeated_there_too(bench: Make) -> None:
    b = bench()

    def reached(depth: int) -> bool:
        b.start(f"""(func $deep (param i32) (if (local.get 0)
          (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $shred))))
          (func (export "_start") (call $deep (i32.const {depth})))""")
        return isinstance(b.engine.resume(0, 1 << 40), HostCall)

    low, high = 100, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reached(middle) else (low, middle)
    assert not reached(high)
    assert reached(low)
    here = instruction(b.engine.backtrace())
    assert here is not None
    assert here.function == HostFunction.SHRED_SELF


def test_bulk_memory_is_repeated_to_the_byte(bench: Make) -> None:
    b = bench()
    b.start("""(memory 2) (func (export "_start") (local $i i32)
      (loop $l (memory.fill (local.get $i) (i32.const 1) (i32.mul (local.get $i) (i32.const 100)))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200)))))""")
    for budget in (1, 50, 99, 100, 101, 1000, 3000, 5000):
        assert isinstance(b.engine.resume(0, budget), Preempted)
        here = instruction(b.engine.backtrace())
        assert here is None or here.name in ("loop", "memory.fill")
        second = b.engine._shadow._memory
        assert ctypes.string_at(second.address, second.size) == b.heap()


@pytest.mark.parametrize("text", [SPINS, ASKS])
def test_who_waits_too_long_cancels_it_and_may_ask_again(bench: Make, text: str) -> None:
    b = bench()
    b.start(text)
    for _ in range(4):
        b.engine.resume(0, 30_000_000)
    left = 3

    def polled() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    b.checkpoints.cancels = polled
    with pytest.raises(Cancelled):
        b.engine.backtrace()
    left = 10**9
    assert b.engine.backtrace() is not None
    assert isinstance(b.engine.resume(0, 1000), HostCall | Preempted)


def test_a_guest_whose_memory_others_changed_is_not_reported_at_a_wrong_place(bench: Make) -> None:
    b = bench()
    b.start("""(memory 1) (func (export "_start")
      (loop $l (br_if $l (i32.eqz (i32.load (i32.const 0))))) (call $shred) (loop $m (br $m)))""")
    b.engine.resume(0, 1000)
    ctypes.memset(b.memory.address + b.size - 65536, 1, 1)
    assert isinstance(b.engine.resume(0, 1000), HostCall)
    assert b.engine.backtrace() is None
    assert isinstance(b.engine.resume(0, 1000), Preempted)
    assert b.engine.backtrace() is None


def test_a_payload_that_was_replaced_meanwhile_does_not_stand_for_the_guest(bench: Make) -> None:
    from wasmtime import wat2wasm

    b = bench()
    b.start(ASKS)
    b.engine.resume(0, 1 << 40)
    expected = b.engine.backtrace()
    b.engine.replace(0, bytes(wat2wasm(f"(module {SPINS})")))
    assert b.engine.backtrace() == expected


def test_code_compiled_ahead_is_reported_as_its_module_is(bench: Make) -> None:
    from wasmtime import wat2wasm

    from enclave_sim.enclave.engine.profile import GuestProfile
    from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead

    wasm, told = bytes(wat2wasm(f'(module (import "aether" "get_status" (func $status (result i32))) {ASKS})')), []
    made_by, code = compile_ahead(wasm, GuestProfile(16 * 65536))
    for arguments in ((wasm, None), (wasm, code, made_by)):
        b = bench()
        b.engine.instantiate(b.engine.admit(*arguments))
        b.engine.resume(0, 1 << 40)
        told.append(b.engine.backtrace())
    assert told[0] == told[1] is not None
