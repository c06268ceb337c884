"""A traced region: who wrote which range, whatever the writer, bounded, and not a byte where it is off."""

from pathlib import Path
from typing import Any

import pytest

from enclave_sim import Enclave, Phase
from enclave_sim.enclave import memory_trace
from enclave_sim.enclave.host_limit import HostLimit
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import CycleBegan, GuestInstantiated, MemoryWritten
from enclave_sim.inputs import AfterEvent, MemoryFault
from enclave_sim.memory_map import region, regions
from enclave_sim.recording import select
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.replay import replay
from machine.events import Event
from tests.enclave_sim.cli.command import assert_refused, command

HEAP = region("heap")
WHOLE_HEAP = ("device", "scrub engine", HEAP.base, HEAP.size)
COUNTER = ("guest", "the guest: _start (function 1) at +0xb, i32.store", 0xFF8000, 1)


def traced(payload: Any, name: str, **options: Any) -> list[Event]:
    enclave = Enclave(payload, trace_memory=name, **options)
    enclave.run(limit_ns=50_000_000)
    assert enclave.recording is not None
    return enclave.recording.events


def writes(events: list[Event], **criteria: Any) -> list[tuple[str, str, int, int]]:
    found = select(events, kind=MemoryWritten, **criteria)
    return [(one.by, one.writer, one.base, one.size) for one in found if isinstance(one, MemoryWritten)]


def test_what_touched_the_heap_in_cycle_2() -> None:
    events = traced("counter", "heap", cycles=4)
    assert writes(events, cycle=2) == [COUNTER, WHOLE_HEAP]
    assert {one.region for one in events if isinstance(one, MemoryWritten)} == {"heap"}


def test_a_guest_is_named_by_the_function_that_stored_last_in_each_of_its_stays() -> None:
    events = traced("digest", "heap")
    (made,) = (event.seq for event in events if isinstance(event, GuestInstantiated))
    first, second = [event for event in events if isinstance(event, MemoryWritten) and event.by == "guest"]
    assert made < first.seq < second.seq
    assert "function 2" in first.writer
    assert HEAP.base <= first.base < first.base + first.size <= HEAP.end


@pytest.mark.parametrize("name", ["kernel_stack", "data"])
def test_the_kernel_is_named_by_its_functions(name: str) -> None:
    found = writes(traced("counter", name))
    functions = {writer for by, writer, *_ in found if by == "kernel"}
    assert functions
    assert all("+" not in function for function in functions)
    where = region(name)
    assert all(where.base <= base < base + size <= where.end for *_, base, size in found)


def test_the_processor_writes_the_frames_of_interrupts() -> None:
    assert {by for by, *_ in writes(traced("counter", "call_stack"))} >= {"processor", "device"}


def test_a_flat_guest_is_named_by_the_address_of_its_code() -> None:
    found = writes(traced("surveyor", "heap", engine="native"))
    assert any(by == "guest" and writer.startswith("code at 0x") for by, writer, *_ in found)


def test_a_memory_fault_is_an_input() -> None:
    fault = MemoryFault(at_ns=50, address=HEAP.base + 3, bits=4, after=AfterEvent("cycle_began"))
    assert ("input", "an input", HEAP.base + 3, 1) in writes(traced("counter", "heap", inputs=[fault]))


def test_off_is_the_default_and_leaves_no_byte() -> None:
    enclave = Enclave("counter")
    enclave.run()
    assert enclave.recording is not None
    assert "trace_memory" not in enclave.header.configuration
    assert enclave.recording.of_kind(MemoryWritten) == []
    assert enclave.machine.journal.before is None
    others = [event for event in traced("counter", "heap") if not isinstance(event, MemoryWritten)]
    assert [(type(a), a.at_ns) for a in others] == [(type(b), b.at_ns) for b in enclave.recording.events]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["heap", "kernel_stack"])
def test_a_traced_run_replays_and_the_portable_hook_traces_the_same(name: str, tmp_path: Path) -> None:
    enclave = Enclave("counter", cycles=2, trace_memory=name)
    result = enclave.run()
    assert enclave.recording is not None
    enclave.recording.save(tmp_path / "run.jsonl")
    assert replay(tmp_path / "run.jsonl").equal
    assert Enclave("counter", cycles=2, trace_memory=name, portable=True).run().digest == result.digest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["heap", "kernel_stack"])
def test_a_traced_run_goes_back_and_is_the_same_again(name: str) -> None:
    session = Session("counter", cycles=2, trace_memory=name)
    session.run_to(event="cycle_ended")
    there, before = session.now, list(session.events)
    session.reverse_to(event="cycle_began")
    session.run_to(event="cycle_ended")
    assert (session.now, list(session.events)) == (there, before)
    assert before == traced("counter", name, cycles=2)[: len(before)]


def test_a_restored_snapshot_traces_the_same() -> None:
    enclave = Enclave("counter", cycles=2, trace_memory="heap")
    enclave.boot()
    snapshot = enclave.snapshot()
    first = enclave.run().digest
    enclave.restore(snapshot)
    assert enclave.run().digest == first


def test_the_trace_ends_at_its_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_trace, "MAX_EVENTS", 5)
    found = writes(traced("counter", "kernel_stack"))
    assert len(found) == 5
    assert found[-1] == ("limit", "no more writes are traced", region("kernel_stack").base, 0)


def test_functions_of_guests_are_searched_for_within_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_trace, "MAX_SEARCHED_NS", 15)  # the guest has taken 10 ns when it calls
    names = [writer for by, writer, *_ in writes(traced("counter", "heap", cycles=3)) if by == "guest"]
    assert names == [COUNTER[1], *["a function not searched for"] * 2]


def test_a_host_limit_ends_no_search_in_the_middle_of_a_step() -> None:
    enclave = Enclave("counter", trace_memory="heap")
    enclave.run_to(Phase.EXEC_LOOP)
    machine = enclave.machine
    assert machine.coprocessor is not None
    while not enclave.in_guest:
        enclave.step()
    with HostLimit(1e-9):
        enclave.step()
    assert enclave.run().digest == Enclave("counter", trace_memory="heap").run().digest


@pytest.mark.slow
def test_every_region_can_be_traced() -> None:
    for one in regions():
        events = traced("beacon", one.name)
        assert any(isinstance(event, CycleBegan) for event in events), one.name


def test_a_region_that_is_not_there_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match=r"trace_memory is 'haep': no region; did you mean heap\? there are"):
        Enclave(trace_memory="haep")
    with pytest.raises(ConfigurationError, match=r"trace_memory is 5: no region; there are"):
        Enclave(trace_memory=5)
    assert_refused(command("run", "--trace-memory", "haep"), "did you mean heap?")


def test_the_command_line_answers_the_question(tmp_path: Path) -> None:
    recording = tmp_path / "run.jsonl"
    command("run", "counter", "--cycles", "3", "--trace-memory", "heap", "--record", recording)
    shown = command("events", recording, "--kind", "memory_written", "--cycle", "2").output
    assert "by=guest" in shown
    assert shown.count("memory_written") == 3  # the last cycle is followed by annihilation
