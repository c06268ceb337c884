"""Each write to a system register is an event with the old and new values and the instruction."""

from typing import Any

import pytest

from machine.events import DescriptorTableLoaded, RegisterWritten

SET = "movq %{0}, %rax; movq %rax, 0x240000; {1}; 7: movq %rax, %{0}; movq %{0}, %rax; movq %rax, 0x240008;"
REGISTERS = {
    "CR0": SET.format("cr0", "xorl $0x40000, %eax"),
    "CR3": SET.format("cr3", "xorl $8, %eax"),
    "CR4": SET.format("cr4", "xorl $4, %eax"),
    "DR7": SET.format("dr7", "xorl $0x200, %eax"),
    "EFER": "movl $0xC0000080, %ecx; rdmsr; movl %eax, 0x240000; xorl $1, %eax; 7: wrmsr; movl %eax, 0x240008;",
}
WHERE = "leaq 7b(%rip), %rax; movq %rax, 0x240010; hlt"


def words(ran: Any) -> list[int]:
    return [int.from_bytes(ran.machine.ram.read(0x24_0000 + at, 8), "little") for at in (0, 8, 16)]


@pytest.mark.parametrize("name", REGISTERS)
def test_a_write_is_recorded_with_what_was_there_before(kernel: Any, name: str) -> None:
    ran = kernel(REGISTERS[name] + WHERE)
    before, after, rip = words(ran)
    written = [event for event in ran.events if isinstance(event, RegisterWritten) and event.rip == rip]
    assert [(event.register, event.previous, event.value) for event in written] == [(name, before, after)]
    assert before != after


@pytest.mark.parametrize("name", REGISTERS)
def test_the_value_that_is_there_is_not_recorded(kernel: Any, name: str) -> None:
    again = REGISTERS[name].replace("7:", "movq 0x240000, %rax; 7:")
    ran = kernel(again + WHERE)
    assert [event for event in ran.events if isinstance(event, RegisterWritten) and event.rip == words(ran)[2]] == []


@pytest.mark.parametrize(
    ("name", "code", "selector", "limit"),
    [
        ("GDTR", "movw $0xFF, 0x240100; movq $gdt, %rax; movq %rax, 0x240102; 7: lgdt 0x240100;", 0, 0xFF),
        ("IDTR", "movw $0x7FF, 0x240100; movq $idt, %rax; movq %rax, 0x240102; 7: lidt 0x240100;", 0, 0x7FF),
        ("LDTR", "movb $0x82, gdt_tss + 5; movw $0x28, %ax; 7: lldt %ax;", 0x28, 0x2067),
        ("TR", "movw $0x3000, gdt_tss + 2; movb $0x89, gdt_tss + 5; movw $0x28, %ax; 7: ltr %ax;", 0x28, 0x2067),
    ],
)
def test_a_table_is_recorded_with_selector_base_and_limit(
    kernel: Any, name: str, code: str, selector: int, limit: int
) -> None:
    ran = kernel(code + WHERE)
    register = getattr(ran.machine.cpu.registers, name.lower())
    loaded = [event for event in ran.events if isinstance(event, DescriptorTableLoaded) and event.rip == words(ran)[2]]
    assert [(one.register, one.selector, one.base, one.limit) for one in loaded] == [
        (name, selector, register.base, limit)
    ]
