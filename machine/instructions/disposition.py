"""What comes of an instruction with rules of its own (machine/instructions/system_instructions.py)."""

from enum import Enum, auto


class Done(Enum):
    """How an instruction is, or is to be, executed."""

    NATIVE = auto()
    """By Unicorn."""
    COMPLETE = auto()
    """Here: it has retired. A single-step trap follows if TF was set before it."""
    TRANSFERRED = auto()
    """Here, and it loaded RFLAGS: a single-step trap follows if TF is set now."""
    TRAP = auto()
    """Here, and #DB follows in any case (INT1)."""
