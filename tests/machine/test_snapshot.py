"""A snapshot contains the complete machine: a run continues from it exactly where it was taken."""

from copy import deepcopy
from typing import Any

import pytest

from machine.architecture.paging import SupervisorMemory
from machine.boot import loader
from machine.bus.ram import Ram
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.cpu import Cpu
from machine.processor.engine_callbacks import Callbacks

TICKING = """
leaq 9f(%rip), %rax; movw %ax, idt + 16 * 0x20; shrq $16, %rax; movw %ax, idt + 16 * 0x20 + 6
movl $0xFEE00000, %edi; movl $0x1FF, 0xF0(%rdi); movl $0xB, 0x3E0(%rdi); movl $0x20020, 0x320(%rdi)
movl $997, 0x380(%rdi)
movw $0x3F8, %dx; fninit; fldpi; movl $0x12345678, %eax; movd %eax, %xmm3; movl $3, %ecx; movq %rcx, %dr0
movl $0x174, %ecx; movl $0x99, %eax; xorl %edx, %edx; wrmsr
movb $0xB6, %al; outb %al, $0x43; movb $7, %al; outb %al, $0x42
sti
1: incl 0x240000; mulss %xmm3, %xmm3; fsqrt; movl 0x240000, %eax; andl $63, %eax; incl 0x240100(,%rax,4)
cmpl $3000, 0x240000; jb 1b; cli; hlt
9: incl 0x240200; movl $0, 0xB0(%rdi); iretq
"""
"""Computes under a periodic timer, with every kind of register in use."""
OF_A_RUN = frozenset(["_deadline_ns", "_run_end_ns", "_limit_ns", "stepping", "_host_address"])
"""Attributes of the request to run, not of the machine's state."""


def everything(machine: Machine) -> dict[str, Any]:
    """Everything on which two machines in the same state agree, found independently of the snapshot code."""
    found: dict[str, Any] = {}
    _walk(machine, "", found, set())
    names = ("RIP", "RSP", "RAX", "RCX", "XMM3", "ST0", "FPSW", "DR0", "CR2", "RFLAGS")
    found |= {name: machine.cpu.read_register(name) for name in names}
    return found | {"now": machine.clock.now_ns, "ram": machine.ram.read(0, machine.ram.size)}


def _walk(thing: Any, path: str, found: dict[str, Any], seen: set[int]) -> None:
    """Plain values of a part of the machine and of its components."""
    if id(thing) in seen or isinstance(thing, Cpu | Ram | SupervisorMemory | Callbacks):  # caches
        return
    seen.add(id(thing))
    for name, value in vars(thing).items():
        parts = value if isinstance(value, list) else [value]
        for number, part in enumerate(parts):
            if type(part).__module__.startswith("machine.") and hasattr(part, "__dict__"):
                _walk(part, f"{path}.{name}{number}", found, seen)
        if isinstance(value, int | str | bytes | bytearray | list | dict | set) and name not in OF_A_RUN:
            found[f"{path}.{name}"] = repr(value) if " at 0x" not in repr(value) else len(value)  # type: ignore[arg-type]


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
