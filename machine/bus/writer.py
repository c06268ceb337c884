"""Names of what writes to RAM other than instructions: devices, the processor itself, and inputs."""

from collections.abc import Callable
from typing import NamedTuple


class Writer(NamedTuple):
    """A writer of RAM other than an instruction."""

    kind: str
    """`device`, `processor`, `loader` or `input`."""
    name: str
    """The name, such as `scrub engine`."""

    def __str__(self) -> str:
        return self.name


Seen = Callable[[Writer, int, int], None]
"""Called after a write with its writer, its physical address, and its size in bytes."""

INPUT = Writer("input", "an input")
INTERRUPT_DELIVERY = Writer("processor", "interrupt delivery")
PAGE_WALK = Writer("processor", "a page walk")
DESCRIPTOR_LOAD = Writer("processor", "a descriptor load")
TASK_SWITCH = Writer("processor", "a task switch")
GATE_CALL = Writer("processor", "a call through a gate")
