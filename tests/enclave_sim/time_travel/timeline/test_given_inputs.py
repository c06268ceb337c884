"""An input that is given during a run belongs to it from then on: forwards, backwards, and in a replay."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim import events
from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import AfterEvent, AnyInput, ExternalInterrupt, MemoryWrite, RegisterWrite, SensorValue, Tamper
from enclave_sim.memory_map import region
from enclave_sim.recording import Recording
from enclave_sim.time_travel import Position, Session
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.replay import replay
from enclave_sim.time_travel.travel import Travel
from tests.machine.boot import images

CYCLE = firmware.built_in().symbols["cycle"]
NOW = 0
"""The time of an input that is given does not count."""


def session(**options: Any) -> Session:
    return Session("counter", **{"cycles": 3, "wake_ns": 20_000, **options})


def write(value: int) -> MemoryWrite:
    return MemoryWrite(at_ns=NOW, address=CYCLE, data=value.to_bytes(4, "little").hex())


def cycle(run: Session) -> int:
    return int.from_bytes(run.machine.ram.read(CYCLE, 4), "little")


def to_the_end(run: Session) -> Position:
    while run.resume().why is not None:
        pass
    return run.now


def replays(run: Session, path: Path) -> bool:
    recording = Recording(run.enclave.header)
    recording.events.extend(run.events)
    recording.save(path)
    return replay(path).equal


def test_a_write_is_a_step_that_takes_no_time_and_can_be_gone_back_over(tmp_path: Path) -> None:
    run = session()
    run.run_to(symbol="exec_loop")
    here, before = run.now, len(run.events)
    assert run.take(write(1)) == Position(here.at_ns, here.step + 1)
    assert cycle(run) == 1
    assert [type(event) for event in run.events[before:]] == [events.InputTaken]
    run.back()
    assert (run.now, cycle(run)) == (here, 0)
    run.step()
    assert (run.now.at_ns, cycle(run)) == (here.at_ns, 1)
    end = to_the_end(run)
    assert run.events[-1].__struct_config__.tag == "residue_scanned"
    assert sum(isinstance(event, events.CycleBegan) for event in run.events) == 2  # and not 3
    known = list(run.events)
    run.go_to(Position(0))
    assert to_the_end(run) == end
    assert run.events == known
    assert replays(run, tmp_path / "run.jsonl")


def test_a_run_that_is_changed_has_another_future_and_the_old_one_is_forgotten() -> None:
    run = session()
    run.run_to(symbol="exec_loop")
    here = run.now
    old = to_the_end(run)
    run.go_to(here)
    run.take(write(2))
    assert len(run.events) < 60
    assert max(run._timeline.snapshots) <= here
    new = to_the_end(run)
    assert new < old
    run.go_to(here)
    run.take(write(1))  # in place of the other one
    assert new < to_the_end(run) < old
    assert [event.given for event in run.events if isinstance(event, events.InputTaken)] == [write(1)]


def test_registers_are_written() -> None:
    run = session()
    run.run_to(symbol="host_call")
    registers = run.machine.cpu.registers
    for name, value in (
        ("rax", 5),
        ("r15", (1 << 64) - 1),
        ("rip", firmware.built_in().symbols["idle"]),
        ("rsp", 0x11_E000),
    ):
        run.take(RegisterWrite(at_ns=NOW, register=name, value=value))
        assert getattr(registers, name) == value
    run.take(RegisterWrite(at_ns=NOW, register="rflags", value=0xFFFF_FFFF))
    assert run.machine.cpu.rflags == 0x24_7FD7
    run.take(RegisterWrite(at_ns=NOW, register="rflags", value=0))
    assert run.machine.cpu.rflags == 2
    assert run.now.step == 6
    run.back(6)
    assert run.machine.cpu.linear_rip == firmware.built_in().symbols["host_call"]


def test_code_that_was_executed_is_executed_as_it_is_written() -> None:
    loop = bytes.fromhex("40 eb fd")  # 1: inc %eax; jmp 1b
    entry = images.BASE + len(images.header1())
    image = images.elf(images.header1() + loop, entry=entry)
    run = Travel(lambda recorder: BareKernel("loop.elf", image, ram_bytes=4 << 20, recorder=recorder))
    registers = run.machine.cpu.registers
    run.run_to(at_ns=101)
    before = registers.rbx
    run.take(MemoryWrite(at_ns=NOW, address=entry, data="43"))  # inc %ebx
    for _ in range(2):
        run.run_to(at_ns=201)
        assert registers.rbx - before == 50
        run.go_to(Position(50))
        assert registers.rbx == before
    with pytest.raises(ConfigurationError, match="tamper is an input of enclaves; this is a bare kernel"):
        run.take(Tamper(at_ns=NOW))


def test_where_an_input_cannot_be_given_nothing_changes() -> None:
    run = session()
    run.run_to(event="wake_scheduled")
    run.run_to(at_ns=run.now.at_ns + 5_000)  # asleep
    asleep, known = run.now, len(run._timeline.monitor.events)
    with pytest.raises(ConfigurationError, match="a sleep or a stay in the guest is going on"):
        run.take(write(1))
    end = to_the_end(run)
    with pytest.raises(ConfigurationError, match=f"no input can be given at {end.at_ns} ns.*: the run is over"):
        run.take(write(1))
    run.reverse_to(symbol="exec_loop")
    known = len(run._timeline.monitor.events)
    for wrong, message in (
        (MemoryWrite(at_ns=NOW, address=(16 << 20) - 1, data="0000"), "there is no RAM for 2 bytes"),
        (MemoryWrite(at_ns=NOW, address=0, data="0"), "bytes in hexadecimal"),
        (MemoryWrite(at_ns=NOW, address=0, data=""), "at least one byte"),
        (RegisterWrite(at_ns=NOW, register="cr3", value=0), "register 'cr3' cannot be written; rax"),
        (RegisterWrite(at_ns=NOW, register="rax", value=1 << 64), "is not a number of 64 bits"),
        (RegisterWrite(at_ns=NOW, register="rip", value=1 << 47), "is not canonical"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            run.take(wrong)
    assert len(run._timeline.monitor.events) == known
    run.go_to(asleep)
    assert to_the_end(run) == end


def test_a_kernel_that_a_write_has_stopped_is_not_a_defect(tmp_path: Path) -> None:
    run = session()
    run.run_to(symbol="exec_loop")
    run.take(RegisterWrite(at_ns=NOW, register="rip", value=0))  # a page that is not mapped
    to_the_end(run)
    assert run.enclave.block.cause is not None  # a fault of the kernel, which annihilates the enclave
    assert replays(run, tmp_path / "run.jsonl")


@pytest.mark.parametrize("kept", [False, True])
def test_a_breakpoint_is_met_once_where_an_input_was_given(kept: bool) -> None:
    """Also with a snapshot there, which the timeline takes or not, as long runs take time."""
    run = session()
    run.add_breakpoint(symbol="host_call")
    visits = [run.resume().position for _ in range(2)]
    if kept:
        run._timeline.leave_snapshot()
    run.take(SensorValue(at_ns=NOW, sensor=0, value=9))
    changed = run.now
    run.go_to(Position(0))
    assert [run.resume().position for _ in range(2)] == [visits[0], changed]
    assert run.reverse_resume().position == visits[0]


kinds: st.SearchStrategy[AnyInput] = st.one_of(
    st.builds(write, st.integers(0, 1)),
    st.builds(ExternalInterrupt, at_ns=st.just(NOW)),
    st.builds(SensorValue, at_ns=st.just(NOW), sensor=st.just(0), value=st.integers(0, 9)),
    st.builds(RegisterWrite, at_ns=st.just(NOW), register=st.just("r15"), value=st.integers(0, 9)),
)
moves = st.lists(
    st.tuples(st.integers(0, 1_500_000), st.integers(0, 3), kinds, st.integers(0, 12)), min_size=1, max_size=5
)
SCHEDULED = (ExternalInterrupt(at_ns=700, after=AfterEvent("wake_scheduled")),)


@pytest.mark.slow
@settings(max_examples=15)
@given(moves=moves)
def test_a_run_with_inputs_given_anywhere_repeats_itself_and_is_replayed(
    moves: list[tuple[int, int, AnyInput, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = Session("counter", cycles=2, wake_ns=20_000, inputs=SCHEDULED)
    for at_ns, steps, one, back in moves:
        try:
            run.run_to(at_ns=at_ns) if at_ns > run.now.at_ns else run.reverse_to(at_ns=at_ns)
            run.step(steps + (not run.enclave.between_steps))
            run.take(one)
            run.step(back)
            run.back(back)
        except (ConfigurationError, NoSuchPosition):
            continue
    to_the_end(run)
    end, known = run.now, list(run.events)
    run.go_to(Position(0))
    visited = [(run.run_to(event="input_taken"), run.machine.cpu.linear_rip) for _ in run_inputs(known)]
    assert to_the_end(run) == end
    assert run.events == known
    for position, rip in reversed(visited):
        run.go_to(position)
        assert run.machine.cpu.linear_rip == rip
        assert isinstance(run.events[-1], events.InputTaken)
    to_the_end(run)
    assert replays(run, tmp_path_factory.mktemp("given") / "run.jsonl")


def run_inputs(known: list[Any]) -> list[events.InputTaken]:
    return [event for event in known if isinstance(event, events.InputTaken)]


@pytest.mark.parametrize("back", [0, 1, 40])
def test_an_input_that_a_trace_shows_is_replayed_where_it_was_given(tmp_path: Path, back: int) -> None:
    run = session(trace_memory="call_stack")
    run.run_to(event="ring_transition")
    run.back(back)
    here = run.now
    run.take(MemoryWrite(at_ns=NOW, address=region("call_stack").base, data="a5"))
    run.run_to(event="cycle_ended")
    shown = [event.at_ns for event in run.events if isinstance(event, events.MemoryWritten) and event.by == "input"]
    assert shown == [here.at_ns]
    assert replays(run, tmp_path / "run.jsonl")
