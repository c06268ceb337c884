"""A resident guest is seen, in both directions, as an independent interpreter executes its instructions."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import GuestInstantiated, HostReturned
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.payload.wasm.places import bodies_of
from enclave_sim.strategies import WasmGuest, wasm_guests
from enclave_sim.time_travel import Position, Session
from enclave_sim.time_travel.navigation.provenance.guest.arithmetic import TrapError
from enclave_sim.time_travel.navigation.provenance.guest.program import UnsupportedError, program_of
from enclave_sim.time_travel.navigation.provenance.guest.replay import Replay
from enclave_sim.time_travel.navigation.wasm.values import WasmState
from enclave_sim.time_travel.position import NoSuchPosition
from tests.enclave_sim.conftest import signed

MOST = 250
"""Instructions compared of each guest."""
CALLS = """(memory 1) (table 2 funcref) (elem (i32.const 0) $double $last) (type $unary (func (param i32) (result i32)))
  (global $count (mut i32) (i32.const 3)) (global $half f64 (f64.const 0.5))
  (func $double (type $unary) (i32.shl (local.get 0) (i32.const 1)))
  (func $last (type $unary) (local i64 f32)
    (local.set 1 (i64.const -2)) (local.set 2 (f32.const 1.5))
    (call $emit_signal (local.get 0)) (i32.add (local.get 0) (call $double (i32.wrap_i64 (local.get 1)))))
  (func (export "_start") (local $sum i32)
    (block $out (loop $again
      (local.set $sum (i32.add (local.get $sum)
        (call_indirect (type $unary) (global.get $count) (i32.and (global.get $count) (i32.const 1)))))
      (global.set $count (i32.sub (global.get $count) (i32.const 1)))
      (br_table $again $out (i32.eqz (global.get $count)))))
    (memory.fill (i32.const 16) (local.get $sum) (i32.const 3000))
    (call $emit_signal (i32.load8_u (i32.const 20)))
    (if (i32.eqz (call $get_status)) (then (unreachable)) (else (call $emit_signal (local.get $sum)))))"""
RECURSIVE = """(func $fib (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "_start") (call $emit_signal (call $fib (i32.const 4))))"""
ENDS = {"end", "else"}
"""Whether control passes the end of a block on its way depends on the implementation, and changes nothing."""


class Seen(NamedTuple):
    """The state before an instruction; of each call, the innermost first, function, locals and operands."""

    offset: int
    calls: list[tuple[int, list[int], list[int]]]
    globals: list[int]


def is_repeated(module: bytes) -> bool:
    """Return whether the interpreter of provenance knows all of a module's declarations."""
    try:
        program_of(module)
    except UnsupportedError:
        return False
    return True


def session_of(module: bytes) -> Session:
    session = Session(module, cycles=1, engine="resident")
    session.run_to(event="guest_instantiated")
    return session


def steps(session: Session, most: int = MOST) -> Iterator[tuple[Position, WasmState]]:
    for _ in range(most):
        try:
            position = session.wasm.step()
        except NoSuchPosition:
            return
        state = session.wasm.state
        assert state is not None
        assert state.between
        yield position, state


def sizes(kinds: list[str]) -> list[int]:
    return [{"i32": 32, "f32": 32}.get(kind, 64) for kind in kinds]


def executed(module: bytes, memory_bytes: int, answers: list[int], most: int) -> list[Seen]:
    """What the interpreter of provenance, in Python, does."""
    program = program_of(module)
    replay = Replay(program, memory_bytes)
    found: list[Seen] = []
    mask = (1 << 32) - 1

    def value(pair: tuple[int, int]) -> int:
        return pair[0] & (mask if replay.items[pair[1]].size == 4 else -1)

    try:
        while not replay.over and len(found) < most:
            if replay._waiting:
                replay._answer(answers[replay.stay] if replay.stay < len(answers) else 0)
            frames, stack = replay._frames, replay._stack
            one = frames[-1].code[frames[-1].next]
            functions = {id(each.code): index for index, each in program.functions.items()}
            heights = [*(frame.height for frame in frames), len(stack)]
            calls = [
                (functions[id(frame.code)], [*map(value, frame.locals)], [*map(value, stack[low:high])])
                for frame, (low, high) in zip(frames, pairwise(heights), strict=True)
            ]
            if one.name not in ENDS:
                found.append(Seen(one.offset, calls[::-1], [*map(value, replay._globals)]))
            replay._step()
    except (TrapError, UnsupportedError):
        pass
    return found


def assert_alike(module: bytes, most: int = MOST) -> list[WasmState]:
    """Step through a guest, and compare each state."""
    whole = Session(module, cycles=1, engine="resident")
    whole.resume()
    answers = [one.result for one in whole.events if isinstance(one, HostReturned)]
    states = [state for _, state in steps(session_of(module), most)]
    shown = [one for one in states if one.instruction.split()[0] not in ENDS]
    size = next(one.memory_bytes for one in whole.events if isinstance(one, GuestInstantiated))
    wanted = executed(states[0].module, size, answers, len(shown))
    assert len(wanted) == len(shown)
    for state, want in zip(shown, wanted, strict=True):
        calls = []
        for frame, (_, _, operands) in zip(state.frames, want.calls, strict=True):
            # The type of an operand is not stored: an i32 has any upper half.
            own = [
                cell.cell if cell.cell == other else cell.cell & 0xFFFF_FFFF
                for cell, other in zip(frame.operands, operands, strict=True)
            ]
            kinds = [one.type or "" for one in frame.locals]
            values = [one.cell & (1 << bits) - 1 for one, bits in zip(frame.locals, sizes(kinds), strict=True)]
            calls.append((frame.function, values, own))
        kinds = [one.type or "" for one in state.globals]
        values = [one.cell & (1 << bits) - 1 for one, bits in zip(state.globals, sizes(kinds), strict=True)]
        assert Seen(state.frames[0].offset, calls, values) == want
    return states


def test_every_instruction_is_seen_with_what_it_finds() -> None:
    states = assert_alike(signed(CALLS))
    assert {one.depth for one in states} == {1, 2, 3}
    assert {"call_indirect", "br_table", "memory.fill", "if"} <= {one.instruction.split()[0] for one in states}


@pytest.mark.slow
@settings(max_examples=40)
@given(wasm_guests())
def test_generated_guests_are_seen_as_they_execute(guest: WasmGuest) -> None:
    module = sign(guest.module, development_key())
    assume(is_repeated(module))
    assert_alike(module)


@pytest.mark.slow
def test_back_is_the_reverse_of_step() -> None:
    session = session_of(signed(CALLS))
    there = [position for position, _ in steps(session)]
    session.go_to(there[-1])
    for position in reversed(there[:-1]):
        assert session.wasm.back() == position
    with pytest.raises(NoSuchPosition, match="no WebAssembly instruction comes before"):
        session.wasm.back()
    assert session.now == there[0]


@pytest.mark.slow
@pytest.mark.parametrize("body", [CALLS, RECURSIVE], ids=["calls", "recursive"])
def test_over_and_out_are_the_steps_of_the_same_and_of_the_outer_call(body: str) -> None:
    session = session_of(signed(body))
    there = list(steps(session))
    for index, (position, state) in enumerate(there[:-1]):
        later, earlier = there[index + 1 :], there[:index]
        after = next((one for one, each in later if each.depth <= state.depth), None)
        outer = next((one for one, each in later if each.depth < state.depth), None)
        before = next((one for one, each in reversed(earlier) if each.depth <= state.depth), None)
        caller = next((one for one, each in reversed(earlier) if each.depth < state.depth), None)
        for move, wanted in (
            (session.wasm.step_over, after),
            (session.wasm.step_out, outer),
            (session.wasm.back_over, before),
            (session.wasm.back_out, caller),
        ):
            session.go_to(position)
            if wanted is None:
                with pytest.raises(NoSuchPosition):
                    move()
            else:
                assert move() == wanted, (index, move.__name__, state.instruction)


def test_a_place_is_a_function_and_an_offset_in_it() -> None:
    session = session_of(signed(CALLS))
    there = list(steps(session))
    function = there[0][1].frames[0].function - 2  # $double
    entered = [position for position, one in there if one.frames[0].function == function]
    entries = [one for index, one in enumerate(entered) if index == 0 or one.at_ns - entered[index - 1].at_ns > 100]
    session.go_to(there[0][0])
    assert [session.wasm.run_to(function) for _ in entries] == entries
    assert session.wasm.reverse_to(function) == entries[-2]
    session.go_to(there[0][0])
    address, when = session.wasm.place(function, 1)
    session.add_breakpoint(address, when=when)
    assert [session.resume().position for _ in entries] == entries
    assert session.reverse_resume().position == entries[-2]
    with pytest.raises(ConfigurationError, match="the guest has no function 77"):
        session.wasm.run_to(77)
    with pytest.raises(ConfigurationError, match="did you mean _start"):
        session.wasm.run_to("_stat")
    with pytest.raises(ConfigurationError, match="no instruction of function"):
        session.wasm.run_to(function, 2)


def test_the_last_writer_of_a_guest_s_memory_is_its_instruction() -> None:
    session = session_of(signed(CALLS))
    there = list(steps(session))
    index, state = next((k, one) for k, (_, one) in enumerate(there) if one.instruction.startswith("memory.fill"))
    session.go_to(there[index + 1][0])
    write = session.last_write(region("heap").end - 65536 + 17)
    assert write is not None
    body = bodies_of(state.module)[state.frames[0].function]
    name = f"_start (function {body.function}) at +{state.frames[0].offset - body.start:#x}"
    assert write.by == f"the guest: {name}, memory.fill"
    assert there[index][0] < write.position <= there[index + 1][0]


def test_the_interpreter_itself_writes_what_enters_a_guest() -> None:
    session = Session("counter", cycles=2, engine="resident")
    for _ in range(2):
        session.run_to(event="guest_instantiated")
        session.wasm.step()
        entered = session.last_write(region("calls").base, 8)
        assert entered is not None
        assert entered.by.startswith("interpret+")


def test_a_host_call_is_seen_while_the_kernel_answers_it() -> None:
    session = session_of(signed(CALLS))
    session.run_to(event="host_called")
    state = session.wasm.state
    assert state is not None
    assert (state.waits, state.between, state.depth) == (True, False, 2)
    assert state.instruction == "call 1"
    assert [str(one) for one in state.frames[0].locals][1:] == ["i64 0xfffffffffffffffe", "f32 1.5"]
    assert [next(iter(state.lines())).split(": ")[1]] == ["waits for the answer to call 1"]
    session.run_to(event="guest_destroyed")
    assert session.wasm.state is None


@pytest.mark.parametrize("engine", ["wasmtime"])
def test_only_a_guest_that_the_machine_executes_has_steps(engine: str) -> None:
    session = Session("counter", cycles=1, engine=engine)
    with pytest.raises(ConfigurationError, match="only with the engine resident"):
        _ = session.wasm
