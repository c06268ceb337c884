"""The last change of a register is what single steps have seen."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel import Position, Session
from machine.architecture.processor_state import GENERAL_REGISTERS

STEPS = 3_000
Values = tuple[int, ...]


def values(run: Session) -> Values:
    return tuple(getattr(run.machine.cpu.registers, name) for name in GENERAL_REGISTERS)


@functools.cache
def steps() -> tuple[tuple[Position, Values, int], ...]:
    """Positions, the registers at each, and RIP."""
    run, found = session(), []
    run.run_to(symbol="exec_loop")
    for _ in range(STEPS):
        found.append((run.now, values(run), run.machine.cpu.linear_rip))
        run.step()
    return tuple(found)


@functools.cache
def session() -> Session:
    return Session("counter", cycles=2, quantum_ns=1000)


@settings(max_examples=40)
@given(at=st.integers(0, STEPS - 1), name=st.sampled_from(GENERAL_REGISTERS))
def test_the_last_change_is_the_step_after_which_the_value_was_another(at: int, name: str) -> None:
    trace, run = steps(), session()
    number = GENERAL_REGISTERS.index(name)
    run.go_to(trace[at][0])
    write = run.last_register_write(name)
    assert run.now == trace[at][0]
    changes = [n for n in range(1, at + 1) if trace[n][1][number] != trace[n - 1][1][number]]
    if changes:
        assert write is not None
        assert write.position == trace[changes[-1]][0]
        assert write.rip in (None, trace[changes[-1] - 1][2])
    else:
        assert write is None or write.position <= trace[0][0]


def test_interrupts_instructions_and_conditions() -> None:
    run = session()
    run.run_to(symbol="host_call")
    pushed = run.last_register_write("rsp")
    assert pushed is not None
    run.run_to(event="interrupt_delivered")
    delivered = run.last_register_write("rsp")
    assert delivered is not None
    assert (delivered.rip, delivered.by) == (None, "interrupt delivery")
    earlier = run.last_register_write("rsp", when=lambda session: session.machine.cpu.registers.cpl == 0)
    assert earlier is not None
    assert earlier.position == delivered.position
    last = run.last_register_write("rax", when=lambda session: session.now < pushed.position)
    assert last is not None
    assert last.position < pushed.position
    with pytest.raises(ConfigurationError, match="'eip' is not a general register; there are rax, rcx"):
        run.last_register_write("eip")
