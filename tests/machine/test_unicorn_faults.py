"""Unicorn where it is not the manual and the machine does not mend it: docs/unicorn.md has the manual's rule.

These tests state faults. One that fails says that Unicorn got better: take it and its line in the page away.
"""

import re
from pathlib import Path
from typing import Any

from machine.machine import Outcome

PAGE = (Path(__file__).parents[2] / "docs" / "unicorn.md").read_text()
UD, PF = 6, 14


def vectors(ran: Any) -> list[int]:
    return [taken.vector for taken in ran.taken]


def length(kernel: Any, instruction: str) -> int:
    """How far behind the start UD2 stands: the instruction was executed."""
    (taken,) = kernel(f"{instruction}; ud2").taken
    (start,) = kernel("ud2").taken
    assert taken.vector == UD
    return int(taken.rip - start.rip)


def test_mov_ss_null(kernel: Any) -> None:
    assert length(kernel, "movw $3, %ax; movw %ax, %ss") == 6


def test_long_and_default(kernel: Any) -> None:
    ran = kernel("orb $0x40, gdt + 8 + 6; pushq $8; leaq 1f(%rip), %rax; pushq %rax; lretq; 1: nop; hlt")
    assert ran.taken == []
    assert ran.outcome is Outcome.HALTED


def test_every_fault_told_of_is_held_by_a_test() -> None:
    told = re.findall(r"\| `(\w+)` \|$", PAGE, re.M)
    assert told
    assert [name for name in told if f"test_{name}" not in globals()] == []
