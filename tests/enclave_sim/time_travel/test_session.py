"""Steps backwards undo steps forwards of any size, at any moment of any run."""

import inspect
import sys
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim import ConfigurationError, Enclave, Template
from enclave_sim.enclave.devices.mailbox import Mailbox
from enclave_sim.enclave.kernel.program import aether
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.events import AttestationDecided, CycleBegan, HostCalled
from enclave_sim.inputs import AfterEvent, AnyInput, ExternalInterrupt, GuestReplaced, SensorValue, Tamper
from enclave_sim.strategies import WasmGuest, interrupt_schedules, wasm_guests
from enclave_sim.time_travel import Position, Session
from enclave_sim.time_travel.navigation.previous_steps import PreviousSteps
from enclave_sim.time_travel.position import NoSuchPosition
from machine.errors import EmulatorFault
from machine.events import RingTransition

RUNS: dict[str, dict[str, Any]] = {
    "counter": {"cycles": 3},
    "digest": {"quantum_ns": 20_000},
    "trespasser": {},
    "runner": {"engine": "native", "cycles": 2, "quantum_ns": 20_000},
    "shredder": {"inputs": [ExternalInterrupt(at_ns=100_000), SensorValue(at_ns=1_292_000, sensor=0, value=5)]},
    "greedy": {"inputs": [ExternalInterrupt(at_ns=100, after=AfterEvent("phase_completed", {"phase": "MEM_MAP"}))]},
    "beacon": {"cycles": 2, "inputs": [Tamper(at_ns=2_000_000)]},
}


@cache
def end_ns(name: str) -> int:
    return Enclave(name, **RUNS[name]).run().virtual_ns


@cache
def session_of(name: str) -> Session:
    return Session(name, **RUNS[name])


def everything(session: Session) -> tuple[Any, ...]:
    """All that two visits to a position must agree on."""
    machine = session.enclave.machine
    registers = machine.cpu.registers
    general = [
        getattr(registers, name) for name in ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "rip", "r8")
    ]
    devices = [d._registers if isinstance(d, Mailbox) else d.save_state() for d in machine.bus.devices]
    ram = [(page, machine.ram.read(page, 4096)) for page in machine.ram.nonzero_pages()]
    state = machine.cpu.rflags, registers.cpl, registers.cr[3], machine.halted, machine.mode
    return (session.now, general, state, machine.cpu.context.vector_registers, devices, ram, session.events)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@settings(max_examples=15)
@given(data=st.data())
def test_back_after_step_is_the_identity(name: str, data: st.DataObject) -> None:
    round_trip(session_of(name), end_ns(name), data)


@cache
def start_ns() -> int:
    return Template("counter", cycles=2, quantum_ns=20_000).at_ns


interrupts_of_a_run = st.deferred(lambda: interrupt_schedules(start_ns(), start_ns() + 1_500_000))


@settings(max_examples=20)
@given(guest=wasm_guests(), inputs=interrupts_of_a_run, data=st.data())
def test_at_any_moment_of_any_run(guest: WasmGuest, inputs: list[AnyInput], data: st.DataObject) -> None:
    replaced = GuestReplaced(at_ns=start_ns(), payload=0, code=guest.module)
    options: dict[str, Any] = {"cycles": 2, "quantum_ns": 20_000, "inputs": [replaced, *inputs]}
    round_trip(Session("counter", **options), Enclave("counter", **options).run().virtual_ns, data)


def round_trip(session: Session, end_ns: int, data: st.DataObject) -> None:
    """Some steps forward, back again and forward again, from a random moment."""
    session.go_to(Position(0))
    session.run_to(at_ns=data.draw(st.integers(1, end_ns - 1)))
    if not session.enclave.between_steps:
        session.step()
    count = data.draw(st.integers(1, 5))
    visited = [everything(session)]
    for _ in range(count):
        try:
            session.step()
        except NoSuchPosition:
            break
        visited.append(everything(session))
    for expected in reversed(visited[:-1]):
        session.back()
        assert everything(session) == expected
    for expected in visited[1:]:
        session.step()
        assert everything(session) == expected
    if len(visited) > 1:
        session.back(len(visited) - 1)
        assert everything(session) == visited[0]


def test_many_steps_back_are_searched_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session("beacon")
    session.run_to(symbol="host_call")
    there = session.back(300)
    session.step(300)
    search, depth = PreviousSteps.before, len(inspect.stack())
    monkeypatch.setattr(PreviousSteps, "before", lambda self, goal, _count: search(self, goal, 1))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 150)
    try:
        assert session.back(300) == there
    finally:
        sys.setrecursionlimit(limit)


def test_a_count_of_steps_is_not_negative() -> None:
    session = Session("beacon")
    here = session.step(5)
    assert session.back(0) == session.step(0) == here
    for move in (session.step, session.back):
        with pytest.raises(ConfigurationError, match="a count of steps is -1; it must be 0 or more"):
            move(-1)
    with pytest.raises(NoSuchPosition, match="nothing comes before"):
        session.back(6)
    assert session.now == Position(0)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_is_gone_through_is_the_run(name: str) -> None:
    plain = Enclave(name, **RUNS[name])
    plain.run()
    assert plain.recording is not None
    session = Session(name, **RUNS[name])
    session.run_to(event="annihilation_began")
    session.back(3)
    session.previous_transition()
    session.reverse_to(at_ns=200_000)
    with pytest.raises(NoSuchPosition):
        session.run_to(at_ns=1 << 60)
    assert session.events == plain.recording.events  # the residue scan included


KINDS = ["ring_transition", "host_called", "phase_completed", "interrupt_delivered", "scrubbed", "cycle_began"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_met_in_both_directions(kind: str) -> None:
    session = Session("counter", cycles=2)
    forward = []
    try:
        while True:
            session.run_to(event=kind)
            forward.append((session.now, len(session.events)))
    except NoSuchPosition:
        pass
    backward = []
    try:
        while True:
            session.reverse_to(event=kind)
            backward.append((session.now, len(session.events)))
    except NoSuchPosition:
        pass
    assert len(forward) > 1
    assert backward == forward[::-1]


def test_events_can_be_chosen() -> None:
    session = Session("counter", cycles=2)
    session.run_to(event="host_called", when=lambda event: event.name == "emit_signal" and event.argument == 1)
    (last,) = [event for event in session.events if isinstance(event, HostCalled)][-1:]
    assert (last.name, last.argument) == ("emit_signal", 1)
    session.run_to(event="ring_transition", when=lambda event: (event.from_ring, event.to_ring) == (0, 3))
    assert isinstance(session.events[-1], RingTransition)
    assert session.enclave.machine.cpu.registers.cpl == 3


@pytest.mark.parametrize("symbol", ["host_call", "arena_allocate", "annihilate"])
def test_every_visit_of_a_symbol_is_met_in_both_directions(symbol: str) -> None:
    session = Session("counter", cycles=2)
    forward = []
    try:
        while True:
            session.run_to(symbol=symbol)
            assert session.enclave.machine.cpu.rip == firmware.built_in().symbols[symbol]
            forward.append(session.now)
    except NoSuchPosition:
        pass
    backward = []
    try:
        while True:
            backward.append(session.reverse_to(symbol=symbol))
    except NoSuchPosition:
        pass
    assert forward
    assert backward == forward[::-1]


@pytest.mark.slow
def test_lines_of_the_source_are_gone_through_in_both_directions() -> None:
    session = Session("beacon")
    session.run_to(symbol="mem_map")
    assert session.line is not None
    assert session.line.file == "mem_map.c"
    forward = []
    for _ in range(12):
        forward.append((session.now, session.line))
        session.next_line(into=True)
    for expected in reversed(forward):
        session.previous_line()
        assert (session.now, session.line) == expected
    assert len({line for _, line in forward}) > 5


def test_a_line_before_a_long_loop_is_found() -> None:
    """One repeated instruction moves the loader's data: more steps than one search examines."""
    session = Session("beacon")
    loop, line = session.now, session.line
    for _ in range(5_000):
        session.step()
        if session.line != line:
            loop, line = session.now, session.line
        elif session.now.at_ns > loop.at_ns + 400:
            break
    session.previous_line()
    assert session.line != line
    assert session.now < loop
    session.next_line(into=True)
    assert (session.now, session.line) == (loop, line)


def test_the_next_line_follows_a_call() -> None:
    """exec_loop.c calls attest() and run_guest() one after the other."""
    session = Session("beacon")
    session.run_to(event="cycle_began")
    while session.line is None or session.line.file != "exec_loop.c":
        session.step()
    files = []
    for _ in range(3):
        session.next_line()
        files.append(session.line.file if session.line else "")
    assert files == ["exec_loop.c"] * 3
    assert isinstance(session.events[-1], CycleBegan | AttestationDecided)


def test_source_lines_are_found_by_address_and_back() -> None:
    at = aether().lines.at(firmware.built_in().symbols["annihilate"])
    assert at is not None
    assert at.file == "annihilate.c"
    assert firmware.built_in().symbols["annihilate"] in aether().lines.addresses_of(at.file, at.line)
    assert aether().lines.addresses_of("annihilate.c", 100_000) == ()
    assert aether().lines.at(0x1000) is None
    assert str(SourceLine("a.c", 3)) == "a.c:3"


def test_where_there_is_nothing_one_stays() -> None:
    session = Session("counter")
    session.run_to(event="phase_completed")
    here = everything(session)
    with pytest.raises(NoSuchPosition, match="no host call lies before"):
        session.previous_host_call()
    with pytest.raises(NoSuchPosition, match="does not lie before"):
        session.reverse_to(at_ns=session.now.at_ns)
    with pytest.raises(NoSuchPosition, match="is not executed before"):
        session.reverse_to(symbol="annihilate")
    with pytest.raises(NoSuchPosition, match="there is no"):
        session.go_to(Position(session.now.at_ns, 77))
    assert everything(session) == here
    session.go_to(Position(0))
    with pytest.raises(NoSuchPosition, match="nothing comes before"):
        session.back()


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        ({}, "give exactly one of event, address, symbol, at_ns; none given"),
        ({"event": "woken", "at_ns": 5}, "event and at_ns given"),
        ({"event": "dinner"}, "'dinner' is not a kind of event; there are mode_switched"),
        ({"symbol": "main"}, "no symbol 'main'"),
    ],
)
def test_what_is_no_goal_is_refused(goals: dict[str, Any], message: str) -> None:
    session = Session("beacon")
    for go in (session.run_to, session.reverse_to):
        with pytest.raises(ConfigurationError, match=message):
            go(**goals)


def test_a_run_that_does_not_repeat_is_loud() -> None:
    session = Session("beacon")
    session.run_to(event="host_called")
    session.reverse_to(at_ns=1000)
    session.enclave.machine.clock.spend(1)
    with pytest.raises(EmulatorFault, match="came again as"):
        session.run_to(event="host_called")


@pytest.mark.slow
def test_a_step_back_takes_a_small_part_of_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any moment of a flat guest that computes until the tamper line ends it."""
    session = Session(b"\xeb\xfe", engine="native", quantum_ns=5_000_000, inputs=[Tamper(at_ns=60_000_000)])
    session.run_to(event="annihilation_began")
    whole_ns = session.now.at_ns
    restored: list[int] = []
    clock, restore = session.machine.clock, Enclave.restore

    def restoring(enclave: Enclave, snapshot: Any) -> None:
        before = clock.now_ns
        restore(enclave, snapshot)
        restored.append(before - clock.now_ns)

    monkeypatch.setattr(Enclave, "restore", restoring)
    for at_ns in (50_000_001, 23_456_789, 59_999_999, 4_000_000):
        session.reverse_to(at_ns=at_ns) if session.now.at_ns > at_ns else session.run_to(at_ns=at_ns)
        restored.clear()
        before = session.now.at_ns
        session.back()
        assert restored
        run_again_ns = session.now.at_ns - before + sum(restored)
        assert 0 <= run_again_ns < whole_ns / 4
