"""Step over and step out, forwards and backwards."""

import pytest

import firmware
from enclave_sim.enclave.kernel.program import aether
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.control_flow import Flow, flow_at
from enclave_sim.time_travel.position import NoSuchPosition


def session_at(symbol: str) -> Session:
    session = Session("counter", cycles=2)
    session.run_to(symbol=symbol)
    return session


@pytest.mark.parametrize("symbol", ["mem_map", "exec_loop", "irq", "annihilate", "host_call"])
def test_back_over_is_the_inverse_of_step_over(symbol: str) -> None:
    session = session_at(symbol)
    visited = [session.now]
    deeper = 0
    for _ in range(25):
        flow, _ = flow_at(session.enclave.machine.cpu)
        if flow is Flow.BACK:
            break
        deeper += flow is Flow.DEEPER
        try:
            session.step_over()
        except NoSuchPosition:
            break
        visited.append(session.now)
    if session.now != visited[-1]:
        session.go_to(visited[-1])
    for expected in reversed(visited[:-1]):
        session.back_over()
        assert session.now == expected


def test_a_call_is_one_step_over() -> None:
    session = session_at("mem_map")
    while flow_at(session.enclave.machine.cpu)[0] is not Flow.DEEPER:
        session.step()
    before, stack = session.now, session.enclave.machine.cpu.registers.rsp
    behind = flow_at(session.enclave.machine.cpu)[1]
    session.step_over()
    assert session.enclave.machine.cpu.rip == behind
    assert session.enclave.machine.cpu.registers.rsp == stack
    assert session.now.at_ns > before.at_ns + 5


def test_out_of_a_function_follows_its_call_and_back_out_before_it() -> None:
    session = session_at("host_call")
    entered = session.now
    stack = session.enclave.machine.cpu.registers.rsp
    session.step_out()
    assert session.enclave.machine.cpu.registers.rsp == stack + 8
    assert session.line is not None
    assert session.line.file == "interrupts.S"
    session.go_to(entered)
    session.step(3)
    session.back_out()
    flow, behind = flow_at(session.enclave.machine.cpu)
    assert flow is Flow.DEEPER
    assert session.step() == entered
    assert behind != firmware.built_in().symbols["host_call"]


def test_out_of_a_handler_is_back_in_ring_3() -> None:
    session = session_at("host_call_entry")
    assert session.enclave.machine.cpu.registers.cpl == 0
    session.step_out()
    assert session.enclave.machine.cpu.registers.cpl == 3
    assert session.enclave.machine.cpu.rip == firmware.built_in().symbols["gate"]
    session.back_over()
    assert session.enclave.machine.cpu.registers.cpl == 3  # before the INT
    assert session.line is not None
    assert session.enclave.machine.cpu.rip in aether().lines.addresses_of("gate.S", session.line.line)
