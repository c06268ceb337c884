"""Stepping equals running, in small parts; and `stop_at` stops before every place, every time."""

from typing import Any

import pytest

from machine.errors import MachineError
from machine.events import InterruptRaised
from machine.execution.deferred_signals import SignalsHeld
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.booted import booted
from tests.machine.execution.alignment import FLAG_AC, SET_AM, TO_RING_3
from tests.machine.whole_state import TICKING, everything
from tests.sampling import sampled

PORTABLE = sampled([False, True], False)
COUNTED = "movl $5, %ecx; 1: .globl here; here: incl 0x240000; loop 1b; int $0x21; hlt"


def test_what_a_machine_is_not_made_with() -> None:
    with pytest.raises(MachineError, match="at least 1 ns"):
        Machine(MachineConfiguration(1 << 20, ns_per_instruction=0))
    machine = Machine(MachineConfiguration(1 << 20, ns_per_instruction=1))
    for vector in (-1, 15, 256):
        with pytest.raises(MachineError, match=f"vector {vector} is not one"):
            machine.request_interrupt(vector)
    for vector in (16, 255):
        machine.request_interrupt(vector)


@pytest.mark.slow
@pytest.mark.parametrize("portable", PORTABLE)
def test_stepping_to_the_end_is_running_to_the_end(assemble: Any, portable: bool) -> None:
    image = assemble(TICKING, 0, 2, 0)
    running, recorded = booted(image, portable=portable)
    stepping, stepped = booted(image, portable=portable)
    assert running.run() is Outcome.HALTED
    at_ns, steps = 0, 0
    with SignalsHeld():  # once instead of at each step
        while stepping.step() is None:
            assert stepping.clock.now_ns >= at_ns
            at_ns, steps = stepping.clock.now_ns, steps + 1
    assert stepped.events == recorded.events
    assert everything(stepping) == everything(running)
    interrupts = int.from_bytes(running.ram.read(0x24_0200, 4), "little")
    assert steps == running.cpu.hook.retired + interrupts


def test_a_step_is_an_instruction_or_an_interrupt(assemble: Any) -> None:
    machine, _ = booted(assemble("movl $2, %eax; int $0x80; nop", 0, 2, 0))
    machine.run(machine.clock.now_ns + 1)
    while (
        machine.cpu.read_register("RAX") != 2
        or machine.cpu.registers.cpl
        or machine.cpu.code.at(machine.cpu.rip)[:1] != b"\xcd"
    ):
        assert machine.step() is None
    before = machine.cpu.hook.retired
    assert machine.step() is None
    assert machine.cpu.hook.retired == before + 1
    assert machine.cpu.registers.rsp % 8 == 0


def test_a_step_into_a_shutdown_ends(assemble: Any) -> None:
    machine, _ = booted(assemble("lidt 0x240000; ud2", 0, 2, 0))
    while (outcome := machine.step()) is None:
        pass
    assert outcome is Outcome.SHUTDOWN


def test_a_step_in_a_sleep_lasts_until_the_next_deadline(assemble: Any) -> None:
    timer = "movl $0xFEE00000, %edi; movl $0x1FF, 0xF0(%rdi); movl $0xB, 0x3E0(%rdi); movl $0x20, 0x320(%rdi);"
    machine, _ = booted(assemble(timer + "movl $5000, 0x380(%rdi); sti; hlt; nop", 0, 2, 0))
    while not machine.halted:
        assert machine.step() is None
    asleep = machine.clock.now_ns
    assert machine.step() is None
    assert machine.clock.now_ns > asleep + 4000
    assert machine.halted
    assert machine.step() is None
    assert not machine.halted


@pytest.mark.parametrize("portable", PORTABLE)
def test_stopping_at_an_address_stops_every_time(assemble: Any, portable: bool) -> None:
    machine, _ = booted(assemble(COUNTED, 0, 2, 0), portable=portable)
    whole, _ = booted(assemble(COUNTED, 0, 2, 0), portable=portable)
    whole.run()
    while machine.ram.read(0x24_0000, 1) == b"\0":
        machine.step()
    here = machine.cpu.rip - 7
    assert machine.cpu.code.at(here)[:2] == b"\xff\x04"
    machine.stop_at([here])
    for count in range(1, 5):
        assert machine.run() is Outcome.STOPPED
        assert machine.cpu.rip == here
        assert machine.ram.read(0x24_0000, 1)[0] == count
    assert machine.run() is Outcome.HALTED
    assert everything(machine) == everything(whole)


@pytest.mark.parametrize("portable", [False, True])
def test_stopping_comes_before_a_fetch_that_faults(assemble: Any, portable: bool) -> None:
    machine, _ = booted(assemble("movl $0x403000, %eax; jmp *%rax", 0, 2, 0), portable=portable)
    machine.stop_at([0x40_3000])
    assert machine.run() is Outcome.STOPPED
    assert machine.cpu.rip == 0x40_3000
    assert machine.run() is Outcome.HALTED
    assert machine.cpu.rip != 0x40_3000


def test_a_stop_that_was_passed_stops_again_after_a_restore(assemble: Any) -> None:
    machine, _ = booted(assemble(COUNTED, 0, 2, 0))
    begin = machine.snapshot()
    machine.stop_at([machine.cpu.rip])
    for _ in range(2):
        assert machine.run() is Outcome.STOPPED
        assert machine.at_stop
        machine.restore(begin)


CALLS = (
    "movl $3, %ecx; 1: pushq %rcx; call 2f; popq %rcx; leaq 3f(%rip), %rax; call *%rax; loop 1b; int $0x80; jmp 4f;"
    "2: call 3f; ret $0; 3: addq $8, %rsp; subq $8, %rsp; ret; 4: hlt"
)
CALL, RETURN = (b"\xe8", b"\xff\xd0", b"\xcd\x80"), (b"\xc2", b"\xc3", b"\x48\xcf")


def stops(machine: Machine, limit_ns: int) -> list[tuple[int, int]]:
    """RIP and time of each stop before a limit."""
    found = []
    with SignalsHeld():
        while machine.run(limit_ns) is Outcome.STOPPED:
            found.append((machine.cpu.rip, machine.clock.now_ns))
    return found


@pytest.mark.parametrize("portable", PORTABLE)
@pytest.mark.parametrize("outside", [False, True])
def test_stopping_where_control_goes_is_what_stepping_finds(assemble: Any, portable: bool, outside: bool) -> None:
    image = assemble(CALLS, 0, 2, 0)
    stepping, _ = booted(image, portable=portable)
    steps, more = [], True
    with SignalsHeld():
        while more:
            code, registers = stepping.cpu.code.at(stepping.cpu.rip), stepping.cpu.registers
            steps.append((stepping.cpu.rip, stepping.clock.now_ns, code[:2], registers.rsp))
            more = stepping.step() is None
    floors = {rsp for *_, code, rsp in steps if code.startswith((*CALL, *RETURN))}
    assert len(floors) > 3
    for floor in floors:
        machine, _ = booted(image, portable=portable)
        inside = range(min(rip for rip, *_ in steps), steps[-1][0] - 4)
        machine.stop_at(outside=inside if outside else None, calls_above=floor)
        wanted = [
            (rip, at_ns)
            for rip, at_ns, code, rsp in steps[:-1]
            if (code.startswith(CALL) and rsp > floor)
            or (code.startswith(RETURN) and rsp >= floor)
            or (outside and rip not in inside)
        ]
        assert stops(machine, steps[-1][1]) == wanted


@pytest.mark.parametrize("portable", PORTABLE)
def test_stopping_at_another_value_of_a_register_is_what_stepping_finds(assemble: Any, portable: bool) -> None:
    image = assemble(CALLS, 0, 2, 0)
    stepping, _ = booted(image, portable=portable)
    steps, more = [], True
    with SignalsHeld():
        while more:
            steps.append((stepping.cpu.rip, stepping.clock.now_ns, stepping.cpu.registers.rcx))
            more = stepping.step() is None
    for value in {rcx for *_, rcx in steps[-60:]}:
        machine, _ = booted(image, portable=portable)
        machine.stop_at(unless=("rcx", value))
        found = stops(machine, steps[-1][1])
        assert found == [(rip, at_ns) for rip, at_ns, rcx in steps[:-1] if rcx != value]
        assert 0 < len(found) < len(steps)


def test_there_is_room_for_so_many_addresses() -> None:
    machine = Machine(MachineConfiguration(1 << 20))
    machine.stop_at(range(16))
    with pytest.raises(MachineError, match="17 addresses to stop at; at most 16"):
        machine.stop_at(range(17))


@pytest.mark.parametrize("portable", PORTABLE)
def test_a_step_checks_alignment_as_a_run_does(assemble: Any, portable: bool) -> None:
    body = (
        f"{SET_AM} leaq 7f(%rip), %rsi; movl $0x200000, %edi; movl $80, %ecx; rep movsb; movl $0x240100, %ebx;"
        f"{TO_RING_3.replace('FLAGS', str(0x202 | FLAG_AC))} 7: movl 1(%rbx), %eax; ud2; .skip 80"
    )
    image = assemble(body, 0, 2, 0)
    running, recorded = booted(image, portable=portable)
    stepping, stepped = booted(image, portable=portable)
    running.run()
    while stepping.step() is None:
        pass
    assert [event.vector for event in recorded.events if isinstance(event, InterruptRaised)] == [17]
    assert stepped.events == recorded.events
