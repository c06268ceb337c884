"""A coprocessor: something that executes in place of one instruction at CPL 3.

Its instruction is UD2 (2 bytes) at one linear address. When ring 3 reaches it, the coprocessor runs with RAX as
its operand. Like a string instruction it can be interrupted: then nothing but time has changed, the return
address is the instruction itself, and it goes on when it is reached again.
"""

from dataclasses import dataclass
from typing import Protocol

INSTRUCTION_LENGTH = 2


@dataclass(frozen=True, slots=True)
class Completed:
    """The instruction is complete and leaves these registers behind."""

    rax: int
    rcx: int
    rdi: int


class Coprocessor(Protocol):
    """What the machine asks of a coprocessor."""

    @property
    def address(self) -> int:
        """Linear address of its instruction."""

    def execute(self, operand: int, budget_ns: int) -> Completed | None:
        """Run with RAX = `operand` and spend the time it takes on the machine's clock.

        After about `budget_ns` it lets itself be interrupted and returns None.
        """
