"""Where movements end, and what gdb is told about it."""

from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim.gdb.registers import X86_64
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Position, Session
from tests.enclave_sim.gdb.rig import Client, served, wait_until
from tests.enclave_sim.inspector.driving import million_additions_s

SYMBOLS = firmware.built_in().symbols
CYCLE = SYMBOLS["cycle"]
RIP = b"p%x" % X86_64.numbers["rip"]
CPL = b"p%x" % X86_64.numbers["cpl"]
WATCH = b"Z2,%x,4" % CYCLE


def reason(answer: bytes) -> str:
    """A stop reply without registers and thread, starting with the signal."""
    signal, parts = answer[1:3].decode(), answer[3:].decode().split(";")
    named = (part for part in parts if part.partition(":")[0].isalpha() and not part.startswith("thread:"))
    return " ".join([signal, *named]).rstrip(":")


def break_at(client: Client, *symbols: str) -> None:
    for symbol in symbols:
        assert client.ask(b"Z0,%x,1" % SYMBOLS[symbol]) == b"OK"


def cycle(session: Session) -> int:
    return int.from_bytes(session.enclave.machine.ram.read(CYCLE, 4), "little")


def test_a_run_stops_at_breakpoints_of_both_kinds_and_at_its_ends() -> None:
    session = Session("counter", cycles=2)
    with served(session) as client:
        assert reason(client.ask(b"?")) == "05"
        break_at(client, "mem_map")
        assert client.ask(b"Z1,%x,1" % SYMBOLS["exec_loop"]) == b"OK"
        for packet, symbol, why in (
            (b"vCont;c", "mem_map", "05 swbreak"),
            (b"c", "exec_loop", "05 hwbreak"),
            (b"vCont;c:1", None, "05 replaylog:end"),
            (b"vCont;s:1", None, "05 replaylog:end"),
            (b"bc", "exec_loop", "05 hwbreak"),
            (b"bc", "mem_map", "05 swbreak"),
            (b"bc", "_start", "05 replaylog:begin"),
            (b"bs", "_start", "05 replaylog:begin"),
        ):
            assert reason(client.ask(packet)) == why
            assert symbol is None or client.number(RIP) == SYMBOLS[symbol]
        assert session.now == Position(0)


def test_steps_go_through_iretq_to_ring_3_and_back() -> None:
    session = Session("counter", cycles=2)
    with served(session) as client:
        break_at(client, "gate")
        assert reason(client.ask(b"c")) == "05 swbreak"
        assert client.number(CPL) == 3
        assert reason(client.ask(b"bs")) == "05"
        assert (client.number(CPL), session.enclave.machine.cpu.code.at(client.number(RIP))[:2]) == (0, b"\x48\xcf")
        assert reason(client.ask(b"s")) == "05 swbreak"
        assert client.number(CPL) == 3


def test_the_gate_is_a_place_to_stop_at_every_time_it_is_reached() -> None:
    session = Session("counter", cycles=2)
    session.add_breakpoint(symbol="gate")
    found = []
    while session.resume().why is not None:
        found.append(session.now)
    returns = [
        event.at_ns
        for event in session.events
        if event.__struct_config__.tag == "ring_transition" and event.to_ring == 3  # type: ignore[attr-defined]
    ]
    assert [position.at_ns for position in found] == returns
    back = []
    while session.reverse_resume().why is not None:
        back.append(session.now)
    assert back == found[::-1]


@settings(max_examples=20)
@given(symbol=st.sampled_from(["mem_map", "wasm_init", "exec_loop", "host_call", "gate", "annihilate"]), data=st.data())
def test_a_breakpoint_is_met_wherever_snapshots_lie(symbol: str, data: st.DataObject) -> None:
    session = Session("counter", cycles=2)
    session.add_breakpoint(symbol=symbol)
    first = session.resume().position
    other = Session("counter", cycles=2)
    other._timeline._stride_ns = first.at_ns - data.draw(st.integers(0, 2))  # so that one ends just before it
    other.add_breakpoint(symbol=symbol)
    assert other.resume().position == first


def test_a_watchpoint_is_reported_after_a_write_forwards_and_before_it_backwards() -> None:
    session = Session("counter", cycles=3)
    with served(session) as client:
        break_at(client, "exec_loop")
        client.ask(b"c")
        assert client.ask(WATCH) == b"OK"
        for value in (1, 2, 3):
            assert reason(client.ask(b"c")) == f"05 watch:{CYCLE:x}"
            assert cycle(session) == value
        for value in (2, 1, 0):
            assert reason(client.ask(b"bc")) == f"05 watch:{CYCLE:x}"
            assert cycle(session) == value
        assert reason(client.ask(b"s")) == f"05 watch:{CYCLE:x}"
        assert reason(client.ask(b"bs")) == f"05 watch:{CYCLE:x}"
        assert cycle(session) == 0
        assert reason(client.ask(b"bc")) == "05 swbreak"
        assert client.ask(WATCH.replace(b"Z", b"z")) == client.ask(WATCH.replace(b"Z", b"z")) == b"OK"
        assert reason(client.ask(b"c")) == "05 replaylog:end"


@pytest.mark.parametrize(("kind", "name"), [(3, "rwatch"), (4, "awatch")])
def test_reads_are_met_in_steps_of_both_directions(kind: int, name: str) -> None:
    session, base = Session("counter"), SYMBOLS["payload_count"]
    with served(session) as client:
        break_at(client, "exec_loop")
        client.ask(b"c")
        assert client.ask(b"Z%d,%x,4" % (kind, base)) == b"OK"
        assert reason(client.ask(b"c")) == f"05 {name}:{base:x}"
        behind = session.now
        assert reason(client.ask(b"bs")) == f"05 {name}:{base:x}"
        assert session.now < behind
        assert reason(client.ask(b"s")) == f"05 {name}:{base:x}"
        assert session.now == behind
        assert reason(client.ask(b"bc")) == f"05 {name}:{base:x}"


def test_what_no_instruction_writes_is_watched_too() -> None:
    session, stack = Session("counter"), region("call_stack")
    with served(session) as client:
        break_at(client, "exec_loop")
        client.ask(b"c")
        assert client.ask(b"Z2,%x,1000" % (stack.end - 0x1000)) == b"OK"
        kinds = set()
        while "watch" in reason(client.ask(b"c")):
            kinds.add(session.events[-1].__struct_config__.tag)
        assert {"scrubbed", "ring_transition"} <= kinds  # the scrub engine; the processor, which pushes a frame


def test_points_that_cannot_be_are_refused_and_nothing_is_half_done() -> None:
    session = Session("counter")
    with served(session) as client:
        for number in range(16):
            assert client.ask(b"Z0,%x,1" % (0x10_0000 + number)) == b"OK"
        assert client.ask(b"Z0,100000,1") == b"OK"  # a second time does not differ
        assert client.ask(b"Z0,200000,1").startswith(b"E.there are 16 breakpoints already")
        for packet in (b"Z2,fef00000,4", b"Z2,fffffe,4", b"Z2,100000,0", b"Z2,100000,1001", b"Z2,ffffffffffffffff,4"):
            assert client.ask(packet).startswith(b"E.")
        for packet in (b"Z5,100000,1", b"Z0,100000", b"Z0", b"Z0,-1,1", b"Zx,1,1", b"z9,1,1"):
            assert client.ask(packet) == b"E01"
        assert client.ask(b"z0,200000,1") == b"OK"
    assert not session.breakpoints
    assert not session.watchpoints


def test_stepping_within_a_range_ends_outside_of_it_or_at_a_breakpoint() -> None:
    session = Session("counter")
    session.run_to(symbol="exec_loop")
    start = SYMBOLS["exec_loop"]
    with served(session) as client:
        assert reason(client.ask(b"vCont;r%x,%x:1" % (start, start + 17))) == "05"
        assert client.number(RIP) == start + 17
        client.ask(b"bc")
        assert client.ask(b"Z0,%x,1" % (start + 17)) == b"OK"
        session.go_to(session._timeline.snapshots[0])
        session.run_to(symbol="exec_loop")
        assert reason(client.ask(b"vCont;r%x,%x" % (start, start + 0x200))) == "05 swbreak"
        assert client.number(RIP) == start + 17
        for packet in (b"vCont;r", b"vCont;r1", b"vCont;r1,2,3", b"vCont;t", b"vCont;", b"vCont;x"):
            assert client.ask(packet) == b"E01"


def test_ctrl_c_ends_a_run_and_cancels_a_way_back() -> None:
    session = Session("beacon", cycles=1_000_000)
    with served(session) as client:
        client.send(b"c")
        wait_until(lambda: session.enclave.machine.clock.now_ns > 2_000_000)
        client.connection.sendall(b"\x03")
        assert reason(client.answer()) == "02"
        here = session.now
        assert here > Position(2_000_000)
        client.connection.sendall(b"\x03")  # nothing runs: it is no news
        assert reason(client.ask(b"s")) == "05"
        assert session.now > here
        here = session.now
        client.send(b"bc")
        client.connection.sendall(b"\x03")
        assert reason(client.answer()) == "02"
        assert session.now == here
        assert reason(client.ask(b"bs")) == "05"
        assert session.now < here
        client.send(b"qRcmd," + b"go 1000000000000".hex().encode())
        client.connection.sendall(b"\x03")
        assert client.answer() == b"OK"
        assert client.output == "interrupted\n"


@pytest.mark.speed
def test_a_step_and_a_step_back_take_less_than_twice_the_time_of_a_million_additions() -> None:
    """50 ms on a host that adds a million numbers in 25 ms."""
    session = Session("counter", cycles=2)
    with served(session) as client:
        break_at(client, "host_call")
        client.ask(b"c")
        slowest: dict[bytes, Any] = {}
        for packet in (b"s", b"bs"):
            times = []
            for _ in range(20):
                started = perf_counter()
                client.ask(packet)
                client.ask(b"g")
                times.append(perf_counter() - started)
            slowest[packet] = sorted(times)[-3]  # this host has other load, too
    assert max(slowest.values()) < 2 * million_additions_s()


def test_native_code_is_stepped_through_in_ring_3() -> None:
    session = Session("runner", engine="native")
    with served(session) as client:
        assert client.ask(b"Z0,%x,1" % region("staging").base) == b"OK"
        assert reason(client.ask(b"c")) == "05 swbreak"
        visited = []
        for _ in range(5):
            visited.append((client.number(RIP), client.number(CPL)))
            client.ask(b"s")
        assert {ring for _, ring in visited} == {3}
        back = []
        for _ in range(5):
            client.ask(b"bs")
            back.append((client.number(RIP), client.number(CPL)))
        assert back == visited[::-1]
