"""Motions by calls and lines equal what single steps give, and cost no more for a long function than running it."""

import functools
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.time_travel import Position, Session, Travel
from enclave_sim.time_travel.navigation.control_flow import Flow, flow_at
from enclave_sim.time_travel.position import NoSuchPosition
from machine.events import InterruptDelivered
from machine.execution.deferred_signals import SignalsHeld
from tests.machine.boot import images

STEPS = 9_000
LONG = 400_000
"""Instructions in the long function."""


class Step(NamedTuple):
    """One step of a run, as single steps show it."""

    position: Position
    line: SourceLine | None
    flow: Flow
    """Of the instruction that follows; STRAIGHT for a guest's."""
    callers: tuple[int, ...]
    """The indices of the steps that entered the functions and handlers around it, the innermost last."""


@functools.cache
def steps() -> tuple[Step, ...]:
    """The steps of two cycles, with their callers: followed through CALL, RET, interrupts and their returns."""
    with SignalsHeld():  # once instead of at each step
        return tuple(_steps())


def _steps() -> list[Step]:
    session = Session("counter", cycles=2, quantum_ns=1000)
    session.run_to(symbol="exec_loop")
    cpu, found = session.machine.cpu, list[Step]()
    callers: tuple[int, ...] = ()
    while len(found) < STEPS:
        flow, after = flow_at(cpu) if not session.enclave.in_guest else (Flow.STRAIGHT, 0)
        found.append(Step(session.now, session.line, flow, callers))
        rip, depth, seen = cpu.linear_rip, cpu.registers.rsp, len(session.events)
        try:
            session.step()
        except NoSuchPosition:
            break
        if any(isinstance(event, InterruptDelivered) for event in session.events[seen:]):
            callers = (*callers, len(found) - 1)
        elif flow is Flow.BACK:
            callers = callers[:-1]
        elif flow is Flow.DEEPER and cpu.linear_rip not in (after, rip) and cpu.registers.rsp < depth:
            callers = (*callers, len(found) - 1)
    return found


@functools.cache
def session() -> Session:
    return Session("counter", cycles=2, quantum_ns=1000)


@pytest.mark.slow
@settings(max_examples=60)
@given(at=st.integers(0, STEPS - 1))
def test_out_of_a_function_and_back_is_where_single_steps_lead(at: int) -> None:
    run, trace = session(), steps()
    at %= len(trace)
    run.go_to(trace[at].position)
    depth = len(trace[at].callers)
    if depth:  # others were called before these steps
        assert run.back_out() == trace[trace[at].callers[-1]].position
    run.go_to(trace[at].position)
    left = next((n for n in range(at, len(trace)) if len(trace[n].callers) < depth), None)
    if left is not None:
        assert run.step_out() == trace[left].position


@pytest.mark.slow
@settings(max_examples=60)
@given(at=st.integers(0, STEPS - 1))
def test_a_line_is_left_and_found_again_where_single_steps_lead(at: int) -> None:
    run, trace = session(), steps()
    at %= len(trace)
    line = trace[at].line
    run.go_to(trace[at].position)
    into = next((n for n in range(at, len(trace)) if trace[n].line != line), None)
    if into is not None:
        assert run.next_line(into=True) == trace[into].position
    run.go_to(trace[at].position)
    over = next(
        (
            n
            for n in range(at, len(trace))
            if trace[n].line != line and trace[n].callers == trace[at].callers[: len(trace[n].callers)]
        ),
        None,
    )
    if over is not None:
        assert run.next_line() == trace[over].position
    run.go_to(trace[at].position)
    last = next((n for n in range(at, -1, -1) if trace[n].line != line), 0)
    first = next((n for n in range(last, 0, -1) if trace[n - 1].line != trace[last].line), 0)
    if first:
        assert run.previous_line() == trace[first].position


def long() -> Travel[BareKernel]:
    """movl of the stack; call of a function that counts 200,000 down; then outb to 0xF4."""
    code = bytes.fromhex("bc00002000 e806000000 90 b02a e6f4 f4") + b"\xb9" + (LONG // 2).to_bytes(4, "little")
    code += bytes.fromhex("49 75fd c3")
    image = images.kernel1(code=code)
    return Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=4 << 20, recorder=recorder))


def test_a_long_function_is_one_motion_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    run, count = long(), 0
    single = BareKernel.step

    def counted(self: BareKernel) -> bool:
        nonlocal count
        count += 1
        return single(self)

    monkeypatch.setattr(BareKernel, "step", counted)
    call, after = Position(1), Position(LONG + 4)
    assert run.step() == call
    assert run.step_over() == after
    assert run.back_over() == call
    run.step(2)
    assert run.step_out() == after
    run.back()
    assert run.back_out() == call
    run.go_to(Position(LONG // 2))
    assert run.back_out() == call
    assert run.step_over() == after
    assert count < 1_000


def test_what_nothing_called_says_so() -> None:
    run = long()
    run.step()
    with pytest.raises(NoSuchPosition, match="nothing here was called"):
        run.back_out()
    assert run.now == Position(1)
    with pytest.raises(NoSuchPosition, match="it does not return before the run ends at"):
        run.step_out()
