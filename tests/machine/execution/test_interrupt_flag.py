"""Changes of RFLAGS.IF are noticed where single steps find them, whatever makes them, and tracing changes nothing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.boot import loader
from machine.events import Event
from machine.execution.deferred_signals import SignalsHeld
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.block_clock import BlockClock

PROGRAM = 0x240000
BODY = """
.macro gate number, type, to
leaq \\to(%rip), %rax; movw %ax, idt + 16 * \\number; shrq $16, %rax; movw %ax, idt + 16 * \\number + 6
movb $\\type, idt + 16 * \\number + 5
.endm
gate 0x20, 0x8E, tick
gate 0x30, 0x8E, return
gate 0x31, 0x8F, return
movl $0xFEE00000, %edi; movl $0x1FF, 0xF0(%rdi); movl $0xB, 0x3E0(%rdi); movl $0x20020, 0x320(%rdi)
movl $0xC0000080, %ecx; rdmsr; orl $1, %eax; wrmsr
movl $0xC0000081, %ecx; xorl %eax, %eax; movl %cs, %edx; wrmsr
movl $0xC0000082, %ecx; leaq called(%rip), %rax; xorl %edx, %edx; wrmsr
movl $0xC0000084, %ecx; movl $0x200, %eax; wrmsr
movl $97, 0x380(%rdi)
movl $0x240000, %esi
next: movzbl (%rsi), %eax; incq %rsi; leaq table(%rip), %rbx; movslq (%rbx, %rax, 4), %rax; addq %rbx, %rax; jmp *%rax
tick: movl $0, 0xB0(%rdi)
return: iretq
called: pushq %r11; popfq; jmp next
table: .long 0f - table, 1f - table, 2f - table, 3f - table, 4f - table, 5f - table, 6f - table, 7f - table
.long 8f - table, 9f - table, 10f - table, 11f - table, 12f - table, 13f - table, 14f - table
0: cli; hlt
1: cli; jmp next
2: sti; jmp next
3: pushfq; popfq; jmp next
4: pushq $0x202; popfq; jmp next
5: pushq $2; popfq; jmp next
6: sti; nop; cli; jmp next
7: sti; hlt; jmp next
8: int $0x30; jmp next
9: int $0x31; jmp next
10: movq %rsp, %rcx; movl %ss, %eax; pushq %rax; pushq %rcx; pushfq; xorl $0x200, (%rsp); movl %cs, %eax; pushq %rax
leaq next(%rip), %rax; pushq %rax; iretq
11: movl $50, %ecx; 1: decl %ecx; jnz 1b; jmp next
12: syscall; jmp next
13: movl %ss, %eax; movl %eax, %ss; cli; jmp next
14: sti; sti; cli; cli; sti; jmp next
"""
PIECES = 15
Change = tuple[int, int, bool]


class Events:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        self.events.append(event)


def booted(image: bytes, program: bytes, *, portable: bool = False) -> tuple[Machine, Events]:
    events = Events()
    machine = Machine(MachineConfiguration(16 << 20, portable=portable), events)
    loader.load(machine, image)
    machine.ram.write(PROGRAM, program + b"\0")
    return machine, events


def flag(machine: Machine) -> bool:
    return bool(machine.cpu.rflags & 0x200)


def traced(machine: Machine) -> list[Change]:
    found: list[Change] = []
    clock = machine.clock
    machine.trace_interrupt_flag(lambda enabled: found.append((clock.now_ns, clock.timeless_steps, enabled)))
    return found


def stepped(machine: Machine) -> list[Change]:
    """What single steps find."""
    found: list[Change] = []
    clock, last = machine.clock, flag(machine)
    with SignalsHeld():  # once instead of at each step
        while machine.step() is None:
            if flag(machine) is not last:
                last = flag(machine)
                found.append((clock.now_ns, clock.timeless_steps, last))
    return found


def check(image: bytes, program: bytes, *, portable: bool = False, slices: int | None = None) -> None:
    plain, untraced = booted(image, program)
    assert plain.run(1 << 40) is Outcome.HALTED
    wanted = stepped(booted(image, program)[0])
    machine, events = booted(image, program, portable=portable)
    found = traced(machine)
    while slices is not None and machine.run(machine.clock.now_ns + slices) is Outcome.LIMIT:
        pass
    assert machine.run(1 << 40) is Outcome.HALTED
    assert found == wanted
    assert [one[2] for one in found] == [number % 2 == 0 for number in range(len(found))]
    assert (machine.clock.now_ns, events.events) == (plain.clock.now_ns, untraced.events)


@settings(max_examples=60, deadline=None)
@given(program=st.binary(max_size=60).map(lambda data: bytes(1 + one % (PIECES - 1) for one in data)))
def test_every_change_is_noticed_where_single_steps_find_it(assemble: Any, program: bytes) -> None:
    check(assemble(BODY, 0, 2, 0), program)


@pytest.mark.parametrize("piece", range(1, PIECES))
def test_every_way_to_change_it(assemble: Any, piece: int) -> None:
    image = assemble(BODY, 0, 2, 0)
    check(image, bytes([2, piece, 11, piece, 1, piece, 11]))
    check(image, bytes([2, piece, 11, piece, 1, piece, 11]), slices=13)


def test_in_portable_mode(assemble: Any) -> None:
    check(assemble(BODY, 0, 2, 0), bytes([*range(1, PIECES), 2, *range(1, PIECES)]), portable=True)


def test_stepping_and_running_are_traced_alike(assemble: Any) -> None:
    image = assemble(BODY, 0, 2, 0)
    program = bytes([2, 11, 12, 8, 9, 7, 10])
    machine, _ = booted(image, program)
    found = traced(machine)
    assert stepped(machine) == found
    assert len(found) > 5


LONG_LOOPS = """
movl $20, %ebx
2: sti; movl $3000, %ecx; 1: addl %ecx, %eax; decl %ecx; jnz 1b; cli
movl $3000, %ecx; 1: addl %ecx, %eax; decl %ecx; jnz 1b; decl %ebx; jnz 2b; hlt
"""


@pytest.mark.slow
def test_between_loops_that_are_counted_by_block(assemble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    begin = BlockClock.begin

    def noted(clock: BlockClock) -> bool:
        begun.append(begin(clock))
        return begun[-1]

    monkeypatch.setattr(BlockClock, "begin", noted)
    check(assemble(LONG_LOOPS, 0, 2, 0), b"")
    assert any(begun)
