"""Results of the rules of instructions (machine/instructions/system_instructions.py)."""

from enum import Enum, auto


class Done(Enum):
    """The result of a rule: who executes the instruction, and which #DB may follow."""

    NATIVE = auto()
    """Unicorn must execute it."""
    COMPLETE = auto()
    """It was executed and has retired. A single-step trap follows if TF was set before it."""
    TRANSFERRED = auto()
    """It was executed and has loaded RFLAGS. A single-step trap follows if TF is set now."""
    TRAP = auto()
    """It was executed, and #DB follows in any case (INT1)."""
