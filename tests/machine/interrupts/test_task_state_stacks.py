"""Stacks from the task state segment (SDM volume 3, 8.7), seen from inside a small kernel."""

from typing import Any

import pytest

from machine.architecture.exceptions import DF, SS, TS
from machine.events import (
    InterruptDelivered,
    InterruptRaised,
)

SET_TSS_LIMIT = "andb $0xFD, gdt_tss + 5; movw $LIMIT, gdt_tss; movw $0x28, %ax; ltr %ax;"
INT_80_IN_RING_3 = (
    "movw $0x80CD, 0x200000; pushq $0x1B; pushq $0x240000; pushq $0x202; pushq $0x23; pushq $0x200000; iretq"
)


def raised(ran: Any) -> list[tuple[int, int | None]]:
    return [(event.vector, event.error_code) for event in ran.events if isinstance(event, InterruptRaised)]


@pytest.mark.parametrize("rsp", [0xFFFF_8000_002A_BCD0, 0x002A_BCD0])
@pytest.mark.parametrize(("field", "before"), [(4, INT_80_IN_RING_3), (36, "movb $1, idt + 16*0x80 + 4; int $0x80")])
def test_all_eight_bytes_of_a_stack_pointer_in_the_tss_count(kernel: Any, rsp: int, field: int, before: str) -> None:
    """The upper half of the address space mirrors the lower one."""
    low, high = rsp & 0xFFFF_FFFF, rsp >> 32
    body = (
        f"movq pml4, %rax; movq %rax, pml4 + 8*256; movl ${low:#x}, tss + {field}; movl ${high:#x}, tss + {field + 4};"
    )
    ran = kernel(body + before)
    (delivered,) = [event for event in ran.events if isinstance(event, InterruptDelivered)]
    assert (delivered.vector, delivered.stack) == (0x80, rsp - 40)


@pytest.mark.parametrize("high", [0x0000_8000, 0x0080_0000, 0x8000_0000, 0xFFFF_0000])
def test_a_stack_pointer_in_the_tss_that_is_not_canonical_is_a_stack_fault(kernel: Any, high: int) -> None:
    ran = kernel(f"movl ${high:#x}, tss + 8;" + INT_80_IN_RING_3)
    assert raised(ran)[:3] == [(0x80, None), (SS, 0), (DF, 0)]


@pytest.mark.parametrize(
    ("field", "before"), [(4, INT_80_IN_RING_3), (36, "movb $1, idt + 16*0x80 + 4; int $0x80")], ids=["RSP0", "IST1"]
)
def test_the_stack_pointer_has_to_lie_within_the_limit_of_the_tss(kernel: Any, field: int, before: str) -> None:
    inside = kernel(SET_TSS_LIMIT.replace("LIMIT", str(field + 7)) + before)
    assert raised(inside) == [(0x80, None)]
    outside = kernel(SET_TSS_LIMIT.replace("LIMIT", str(field + 6)) + before)
    assert raised(outside)[:2] == [(0x80, None), (TS, 0x28)]
