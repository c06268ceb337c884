"""Breakpoints and watchpoints stop in the right place, in both directions; last writers of bytes are found."""

from typing import Any

import pytest

import firmware
from enclave_sim import ConfigurationError
from enclave_sim.events import Scrubbed
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Position, Session
from enclave_sim.time_travel.navigation.breakpoints import Watching, Watchpoint


def stops(session: Session, *, backwards: bool = False) -> list[tuple[Position, Any]]:
    found = []
    while (stop := session.reverse_resume() if backwards else session.resume()).why is not None:
        found.append((stop.position, stop.why))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("snapshots", [False, True], ids=["", "with a snapshot at each stop"])
@pytest.mark.parametrize(("payload", "options"), [("counter", {"cycles": 2}), ("runner", {"engine": "native"})])
def test_stops_are_met_in_both_directions(payload: str, options: dict[str, Any], snapshots: bool) -> None:
    session = Session(payload, **options)
    session.add_breakpoint(symbol="host_call")
    session.add_breakpoint(symbol="annihilate")
    session.add_watchpoint(region("call_stack").end - 8, 8)
    forward = stops(session)
    if snapshots:
        for position, _ in forward:
            session.go_to(position)
            session._timeline.leave_snapshot()
        session.go_to(session._timeline.end or Position(0))
    assert {type(why).__name__ for _, why in forward} == {"Breakpoint", "Watchpoint"}
    assert len(forward) > 4
    assert stops(session, backwards=True) == forward[::-1]
    assert session.now == Position(0)


def test_a_condition_is_asked_where_the_run_is() -> None:
    session = Session("counter", cycles=3)
    session.add_breakpoint(symbol="host_call", when=lambda s: s.enclave.machine.cpu.registers.rdi == 1)
    every = stops(session)
    assert len(every) == 6
    session.breakpoints.clear()
    session.add_breakpoint(symbol="host_call", when=lambda s: s.now.at_ns > every[2][0].at_ns)
    late = [stop for stop, _ in stops(session, backwards=True)]
    assert late
    assert min(late) > every[2][0]


def test_reads_and_writes_are_distinguished() -> None:
    symbols = firmware.built_in().symbols
    hits: dict[str, list[Position]] = {}
    watched: dict[str, dict[str, Any]] = {
        "reads": {"reads": True, "writes": False},
        "writes": {},
        "both": {"reads": True},
    }
    for name, kinds in watched.items():
        session = Session("counter", cycles=2)
        session.add_watchpoint(symbols["payload_count"], 4, **kinds)
        hits[name] = [position for position, _ in stops(session)]
    assert hits["reads"]
    assert hits["writes"]
    assert sorted({*hits["reads"], *hits["writes"]}) == hits["both"]


def test_what_the_guest_and_the_scrub_engine_write_is_noticed() -> None:
    session, heap = Session("digest"), region("heap")
    session.add_watchpoint(heap.end - 0x2_0000, 0x2_0000)
    last: dict[str, Any] = {}
    while session.resume().why is not None:
        last[type(session.events[-1]).__name__] = session.events[-1]
    assert {"HostCalled", "Scrubbed"} <= last.keys()
    assert last["Scrubbed"].region == "heap"
    assert isinstance(last["Scrubbed"], Scrubbed)


def test_a_linear_address_is_watched_where_it_is_mapped() -> None:
    session = Session("beacon")
    session.run_to(event="phase_completed")
    linear = session.add_watchpoint(region("arena").base, 16, linear=True)
    assert linear.where == range(region("arena").base, region("arena").base + 16)
    with pytest.raises(ConfigurationError, match="linear address 0x7fff0000 is not mapped"):
        session.add_watchpoint(0x7FFF_0000, linear=True)


@pytest.mark.parametrize("base", [-1, 1 << 40])
def test_what_is_not_in_ram_cannot_be_watched(base: int) -> None:
    with pytest.raises(ConfigurationError, match="cannot be watched"):
        Session("beacon").add_watchpoint(base)


def test_there_is_room_for_sixteen_breakpoints() -> None:
    session = Session("beacon")
    for address in range(16):
        session.add_breakpoint(address)
    session.add_breakpoint(3)
    with pytest.raises(ConfigurationError, match="16 breakpoints already"):
        session.add_breakpoint(99)


def test_the_last_writer_is_the_same_wherever_one_asks_and_wherever_snapshots_lie() -> None:
    session = Session("counter", cycles=2)
    session.run_to(symbol="host_call")
    base = region("call_stack").end - 40  # the frame of the host call: RIP, CS, RFLAGS, RSP, SS
    answers = set()
    while session.machine.cpu.registers.cpl == 0:
        answers.add(session.last_write(base, 40))
        session.back()
        session._timeline.leave_snapshot()
    assert len(answers) == 1
    (write,) = answers
    assert write is not None
    assert write.rip is None
    assert write.by == "interrupt delivery"


def test_bytes_know_who_wrote_them_last() -> None:
    session = Session("counter", cycles=2)
    session.run_to(symbol="annihilate")
    here = session.now
    status = session.last_write(firmware.built_in().symbols["status"], 4)
    assert status is not None
    assert status.rip is not None
    assert "exec_loop.c" in status.by
    pushed = session.last_write(region("call_stack").end - 8, 8)
    assert pushed is not None
    assert pushed.position < here
    nobody = session.last_write(0x30_0000)
    assert nobody is None
    assert session.now == here
    before = session.go_to(status.position)
    assert session.last_write(firmware.built_in().symbols["status"], 4) == status
    assert before == status.position


def test_the_last_writer_of_a_guests_memory_is_its_function_and_instruction() -> None:
    session = Session("counter", cycles=2)
    session.run_to(event="cycle_ended")
    page = region("heap").end - 65536
    write = session.last_write(page + 0x8000, 4)
    assert write is None or "scrub" in write.by  # a guest's memory does not outlive its cycle
    session.reverse_to(event="host_called")
    write = session.last_write(page + 0x8000, 4)
    assert write is not None
    assert write.by == "the guest: _start (function 1) at +0xb, i32.store"
    assert session.last_write(page, 0x8000) != write


@pytest.mark.parametrize("unchanged", [True, False])
@pytest.mark.parametrize("reads", [True, False])
def test_a_write_that_changes_nothing_counts_unless_only_changes_are_asked_for(unchanged: bool, reads: bool) -> None:
    machine = Session("beacon").machine
    point = Watchpoint(range(0x30_0000, 0x30_0004), reads=reads, writes=True)
    watching = Watching(machine, [point], unchanged=unchanged)
    with watching.installed():
        machine.cpu.note_access(True, 0x30_0002, 8)
        machine.cpu.note_access(True, 0x30_0004, 8)
    assert watching.hits == ([point] if unchanged or reads else [])
    watching.forget()
    assert not watching.changed()
    machine.ram.write(0x30_0003, b"\1")
    assert watching.changed()
    assert (watching.hits, watching.hit, watching.access) == ([point], point, None)
