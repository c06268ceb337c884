"""A coprocessor: host code that runs in place of one instruction at CPL 3.

Its instruction is UD2 (2 bytes) at one linear address. When ring 3 reaches it, the coprocessor runs with RAX as its
operand. Like a string instruction it can be interrupted: then only time has passed, the return address is the
instruction itself, and the coprocessor continues when the instruction is executed again.
"""

from typing import Protocol

import msgspec

INSTRUCTION_LENGTH = 2


class Completed(msgspec.Struct, frozen=True):
    """The new register values after completion."""

    rax: int
    rcx: int
    rdi: int


class Coprocessor(Protocol):
    """The interface of a coprocessor to the machine."""

    @property
    def address(self) -> int:
        """Linear address of its instruction."""

    def execute(self, operand: int, budget_ns: int) -> Completed | None:
        """Run, and advance the machine's clock by the time taken.

        Args:
            operand: RAX.
            budget_ns: Virtual time in ns after which, approximately, the coprocessor must stop.

        Returns:
            The registers after completion, or None if the budget ended first.
        """
