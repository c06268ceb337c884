"""Traps of tasks that never begin (SDM volume 3, 8.2.1 and 18.3.1.5)."""

import struct

import pytest

from machine.boot import loader
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.assembler import Assembler

TABLE = 0x16_0000
"""A copy of the GDT. It has the descriptors of two tasks, whose back links make them available again."""
FIRST, SECOND, GATE = 0x88, 0x188, 0x80
LIMIT_NS = 5_000


def stored(address: int, content: bytes) -> str:
    """Return instructions that store bytes."""
    return "".join(f"movb ${byte:#x}, {address + at:#x};" for at, byte in enumerate(content))


def task(stack: int) -> bytes:
    """Return the TSS of a task with its T flag set, in the segments of kernel32.S."""
    segments = (0x10, 0x08, 0x10, 0x10, 0x10, 0x10)
    return struct.pack("<26I", *[0] * 8, 0x15_0000, 2, *[0] * 4, stack, *[0] * 3, *segments, 0, 1)


def descriptor(base: int) -> bytes:
    """Return the descriptor of an available 32-bit TSS."""
    return struct.pack("<HHBBBB", 0x67, base & 0xFFFF, base >> 16 & 0xFF, 0x89, 0, base >> 24)


def gate(selector: int) -> bytes:
    return struct.pack("<II", selector << 16, 0xE500)


@pytest.mark.slow
@pytest.mark.parametrize("portable", [False, True])
def test_a_run_ends_although_each_trap_leads_to_another_task(assembler: Assembler, portable: bool) -> None:
    """#DB enters one task by its T flag, whose own trap finds that task busy: #GP enters the other one, and so on."""
    body = "".join(f"movl gdt + {at}, %eax; movl %eax, {TABLE + at:#x};" for at in range(0, 0x60, 4))
    body += f"subl $8, %esp; movw $0x1FF, (%esp); movl ${TABLE:#x}, 2(%esp); lgdt (%esp);"
    body += stored(TABLE + FIRST + 5, task(0x18_0000)) + stored(TABLE + SECOND + 5, task(0x18_0000))
    body += stored(TABLE + FIRST, descriptor(TABLE + SECOND + 5)) + stored(
        TABLE + SECOND, descriptor(TABLE + FIRST + 5)
    )
    body += stored(TABLE + GATE, gate(FIRST | 1))
    for vector, selector in ((1, FIRST), (13, SECOND)):
        words = struct.unpack("<II", gate(selector | 1))
        body += "".join(f"movl ${word:#x}, idt + {8 * vector + 4 * at};" for at, word in enumerate(words))
    machine = Machine(MachineConfiguration(16 << 20, portable=portable))
    loader.load(machine, assembler.build("kernel32.S", body + f"ljmp ${GATE}, $0", RING=0, PAGING=0))
    assert machine.run(LIMIT_NS) is Outcome.LIMIT
    assert machine.clock.now_ns == LIMIT_NS
