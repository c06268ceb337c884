"""The whole state of a machine, for comparison, and a program that changes every kind of register."""

from typing import Any

from machine.architecture.paging import SupervisorMemory
from machine.bus.ram import PAGE_SIZE, Ram
from machine.interrupts.known_transitions import KnownTransitions
from machine.machine import Machine
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
    return found | {"now": machine.clock.now_ns, "ram": ram(machine)}


def ram(machine: Machine) -> dict[int, bytes]:
    """The pages of RAM that are not zero, by address."""
    return {page: machine.ram.read(page, PAGE_SIZE) for page in machine.ram.nonzero_pages()}


def _walk(thing: Any, path: str, found: dict[str, Any], seen: set[int]) -> None:
    """Plain values of a part of the machine and of its components."""
    if id(thing) in seen or isinstance(thing, Cpu | Ram | SupervisorMemory | Callbacks | KnownTransitions):  # caches
        return
    seen.add(id(thing))
    for name, value in vars(thing).items():
        parts = value if isinstance(value, list) else [value]
        for number, part in enumerate(parts):
            if type(part).__module__.startswith("machine.") and hasattr(part, "__dict__"):
                _walk(part, f"{path}.{name}{number}", found, seen)
        if isinstance(value, int | str | bytes | bytearray | list | dict | set) and name not in OF_A_RUN:
            found[f"{path}.{name}"] = repr(value) if " at 0x" not in repr(value) else len(value)  # type: ignore[arg-type]
