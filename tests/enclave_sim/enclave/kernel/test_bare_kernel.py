"""A bare kernel runs forwards and backwards, like an enclave."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.enclave.kernel.program import aether
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import RegisterWrite
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.travel import Travel
from machine.machine import Outcome
from tests.c_kernel import compiled
from tests.machine.boot import images

COUNTER = 0x20_0000
COUNT = bytes.fromhex("c7 05 00 00 20 00 00 00 00 00 ff 05 00 00 20 00 83 3d 00 00 20 00 05 75 f1 b0 2a e6 f4 f4")
"""movl $0, COUNTER; then incl COUNTER, cmpl $5, COUNTER, jne to the incl; movb $42, %al; outb %al, $0xF4; hlt."""
HALT = bytes.fromhex("fa f4")
TRIPLE_FAULT = bytes.fromhex("0f 0b")
ENTRY = images.BASE + 12
INCREMENT = ENTRY + 10


def travel(code: bytes = COUNT, **options: Any) -> Travel[BareKernel]:
    image = images.kernel1(code=code)
    return Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=4 << 20, recorder=recorder, **options))


def state(run: Travel[BareKernel]) -> tuple[Any, ...]:
    cpu = run.machine.cpu
    return run.now, cpu.rip, cpu.rflags, cpu.registers.rax, run.machine.ram.read(COUNTER, 4), len(run.events)


@functools.cache
def forwards() -> tuple[tuple[object, ...], ...]:
    """Every state from the start to the end."""
    run = travel()
    states = [state(run)]
    while True:
        try:
            run.step()
        except NoSuchPosition:
            return tuple(states)
        states.append(state(run))


def test_steps_back_give_what_steps_forward_gave() -> None:
    run = travel()
    run.resume()
    found = [state(run)]
    while run.now > Position(0):
        run.back()
        found.append(state(run))
    assert tuple(found[::-1]) == forwards()
    assert len(found) > 15


@given(st.lists(st.deferred(lambda: st.integers(0, len(forwards()) - 1)), min_size=1, max_size=6))
def test_any_position_is_reached_from_any_other(places: list[int]) -> None:
    run = travel()
    for place in places:
        position = forwards()[place][0]
        assert isinstance(position, Position)
        run.go_to(position)
        assert state(run) == forwards()[place]


def test_a_kernel_that_leaves_is_at_its_end_and_one_can_go_back_from_there() -> None:
    run = travel()
    assert run.resume().why is None
    assert run.subject.exit_status == 85
    assert run.subject.ended == "left, exit status 85"
    with pytest.raises(NoSuchPosition, match="the run ends"):
        run.step()
    run.back()
    assert run.subject.exit_status is None
    assert run.subject.ended is None
    assert run.resume().position == forwards()[-1][0]


@pytest.mark.parametrize(("code", "ended"), [(HALT, None), (TRIPLE_FAULT, "triple fault")])
def test_a_halt_and_a_triple_fault_are_ends(code: bytes, ended: str | None) -> None:
    run = travel(code)
    run.resume()
    assert run.subject.ended == ended
    assert run.machine.halted == (ended is None)
    with pytest.raises(NoSuchPosition):
        run.step()
    end = run.now
    assert run.go_to(Position(0)) == Position(0)
    assert run.resume().position == end


def test_breakpoints_watchpoints_and_the_last_writer() -> None:
    run = travel()
    run.add_breakpoint(INCREMENT)
    stops = []
    while run.resume().why is not None:
        stops.append(run.machine.ram.read(COUNTER, 4)[0])
    assert stops == [0, 1, 2, 3, 4]
    write = run.last_write(COUNTER, 4)
    assert write is not None
    assert write.rip == INCREMENT
    assert run.reverse_resume().why is not None
    assert run.machine.ram.read(COUNTER, 4)[0] == 4
    run.breakpoints.clear()
    run.go_to(Position(0))
    run.add_watchpoint(COUNTER, 4, when=lambda session: session.machine.ram.read(COUNTER, 1) == b"\3")
    assert run.resume().position == Position(8)


def test_what_cannot_be_loaded_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot boot kernel: the image has neither"):
        BareKernel("kernel", b"\x7fELF" + bytes(200))


def test_the_enclaves_kernel_has_the_same_symbols_and_lines_when_it_is_any_image() -> None:
    program, known = BareKernel("aether.elf", firmware.built_in().image).program, aether()
    for name, address in known.symbols.items():
        if program.symbols.get(name) == address and known.symbol(address) == name:
            assert program.lines.at(address) == known.lines.at(address)
            assert program.is_code(address) == known.is_code(address)
            assert program.symbol(address)
    shared = [name for name in known.symbols if program.symbols.get(name) == known.symbols[name]]
    assert len(shared) > len(known.symbols) // 2


def test_symbols_of_a_kernel_in_the_higher_half_are_linear_and_its_regions_physical() -> None:
    high = 0xFFFF_8000_0010_0000
    content = images.header1() + COUNT
    segments = [(0, high, images.BASE, len(content), len(content))]
    image = images.elf(content, bits=64, entry=ENTRY, segments=segments)
    program = BareKernel("high", image).program
    assert program.is_code(high + 12)
    assert not program.is_code(images.BASE + 12)
    found = program.region_at(images.BASE)
    assert found is not None
    assert found.name == "segment0"
    assert program.region_at(high) is None


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, len(firmware.built_in().image) - 1), st.binary(min_size=1, max_size=16))
def test_damaged_symbols_and_lines_never_keep_a_kernel_from_being_looked_at(at: int, data: bytes) -> None:
    image = bytearray(firmware.built_in().image)
    image[at : at + len(data)] = data
    try:
        program = BareKernel("damaged", bytes(image), ram_bytes=32 << 20).program
    except ConfigurationError:
        return
    program.place(images.BASE)
    at_line = program.lines.at(images.BASE)
    assert at_line is None or isinstance(program.lines.text(at_line), str)


@pytest.mark.slow
@pytest.mark.parametrize("version", [4, 5])
def test_source_lines_of_a_compiled_kernel_are_found_with_their_texts(tmp_path: Path, version: int) -> None:

    image = compiled(tmp_path, f"-gdwarf-{version}")
    run = Travel(lambda recorder: BareKernel("kernel.elf", image.read_bytes(), recorder=recorder))
    run.run_to(symbol="main")
    assert run.line is not None
    assert run.program.lines.text(run.line).startswith(("void main", "result ="))
    lines = {run.line.line}
    for _ in range(12):
        run.step()
        lines |= {run.line.line} if run.line is not None else set()
    assert len(lines) > 2
    (address,) = (run.program.symbols["result"],)
    run.resume()
    assert int.from_bytes(run.machine.ram.read(address, 4), "little") == 30
    write = run.last_write(address, 4)
    assert write is not None
    assert "main" in write.by
    assert "kernel.c:" in write.by


SLEEP = bytes.fromhex("b0 ff e6 21 e6 a1 fb f4 eb fd")
"""movb $0xFF, %al; outb %al, $0x21; outb %al, $0xA1; sti; 1: hlt; jmp 1b. No device can wake it."""


def test_a_sleep_from_which_nothing_wakes_is_the_end_for_every_motion() -> None:
    stepped = travel(SLEEP)
    with pytest.raises(NoSuchPosition, match="the run ends at"):
        stepped.step(100)
    assert stepped.machine.waits
    resumed, timed = travel(SLEEP), travel(SLEEP)
    assert (resumed.resume().position, resumed.resume().why) == (stepped.now, None)
    with pytest.raises(NoSuchPosition, match=f"the run ends at {stepped.now}"):
        timed.run_to(at_ns=1_000_000)
    assert state(stepped) == state(resumed) == state(timed)
    assert resumed.back() == stepped.back()


def test_a_limit_does_not_prolong_a_sleep_from_which_nothing_wakes() -> None:
    kernel = travel(SLEEP).subject
    assert kernel.advance(1_000_000) is Outcome.HALTED
    assert kernel.machine.clock.now_ns < 100


def test_a_sleep_goes_on_until_the_input_that_wakes_it() -> None:
    kernel = travel(SLEEP, typed=[(500_000, b"k")]).subject
    assert kernel.advance(400_000) is Outcome.LIMIT
    assert kernel.machine.clock.now_ns == 400_000
    assert kernel.advance(1_000_000) is Outcome.HALTED  # the key woke nothing: its interrupt is masked
    assert kernel.machine.clock.now_ns == 500_000


@pytest.mark.parametrize("cleared", [False, True], ids=["asleep", "interrupts disabled meanwhile"])
def test_the_last_input_of_a_sleep_is_a_step_to_the_end(*, cleared: bool) -> None:
    run = travel(SLEEP, typed=[(500, b"k"), (600, b"l")][: 2 - cleared])
    if cleared:
        run.run_to(at_ns=500)
        run.take(RegisterWrite(at_ns=0, register="rflags", value=2))
    run.resume()
    end = state(run)
    assert run.events[-1].__struct_config__.tag == "serial_received"
    with pytest.raises(NoSuchPosition, match=f"the run ends at {re.escape(str(run.now))}"):
        run.step()
    run.back()
    run.step()
    assert state(run) == end
    run.go_to(Position(0))
    assert state(run) != end
    run.go_to(end[0])
    assert state(run) == end
