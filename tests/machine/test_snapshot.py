"""A snapshot contains the complete machine: a run continues from it exactly where it was taken."""

from copy import deepcopy
from typing import Any

import pytest

from machine.boot import loader
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.whole_state import TICKING, everything


@pytest.mark.slow
@pytest.mark.parametrize("at_ns", [1, 1500, 9_973, 20_000, 21_501])
def test_going_on_from_a_snapshot_is_going_on(assemble: Any, at_ns: int) -> None:
    image = assemble(TICKING, 0, 2, 0)
    plain, other = Machine(MachineConfiguration(16 << 20)), Machine(MachineConfiguration(16 << 20))
    for machine in (plain, other):
        loader.load(machine, image)
    assert plain.run() is Outcome.HALTED
    assert int.from_bytes(plain.ram.read(0x24_0200, 4), "little") > 10
    assert other.run(at_ns) is Outcome.LIMIT
    snapshot, there = other.snapshot(), everything(other)
    ends = []
    for _ in range(3):
        assert other.run() is Outcome.HALTED
        ends.append(everything(other))
        other.restore(snapshot)
        assert everything(other) == there
    assert ends == 3 * [everything(plain)]


def test_a_machine_of_the_same_configuration_can_go_on(assemble: Any) -> None:
    image = assemble(TICKING, 0, 2, 0)
    first, second = Machine(MachineConfiguration(16 << 20)), Machine(MachineConfiguration(16 << 20))
    loader.load(first, image)
    first.run(12_345)
    second.restore(first.snapshot())
    assert first.run() is second.run()
    assert everything(first) == everything(second)


def test_code_that_was_changed_since_is_forgotten(assemble: Any) -> None:
    """The kernel overwrites an executed instruction; the snapshot restores the old one."""
    body = "2: movl $1, %ebx; pushq %rbx; cmpl $9, 2b + 1; je 3f; movb $9, 2b + 1; jmp 2b; 3: hlt"
    machine = Machine(MachineConfiguration(16 << 20))
    loader.load(machine, assemble("movq %cr0, %rax; btrq $16, %rax; movq %rax, %cr0;" + body, 0, 2, 0))
    start = machine.snapshot()
    for _ in range(3):
        assert machine.run() is Outcome.HALTED
        assert machine.ram.read(machine.cpu.registers.rsp, 16) == b"\t" + bytes(7) + b"\1" + bytes(7)
        machine.restore(start)


def test_a_snapshot_is_not_reached_by_what_comes_later(assemble: Any) -> None:
    machine = Machine(MachineConfiguration(16 << 20))
    loader.load(machine, assemble(TICKING, 0, 2, 0))
    machine.run(9_000)
    snapshot = machine.snapshot()
    before = deepcopy(snapshot)
    machine.run()
    assert snapshot == before
