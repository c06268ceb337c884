"""The numbers of layout.inc, by their names there."""

import re
from pathlib import Path

_LINE = re.compile(r"^#define (\w+) (\w+)", re.MULTILINE)
_NUMBERS = {name: int(value, 0) for name, value in _LINE.findall(Path(__file__).with_name("layout.inc").read_text())}

TIMER_LEAD = 16
"""Instructions from the store that arms the timer to a program's first one: they are counted too."""


def number(name: str) -> int:
    """A number of layout.inc. Raises KeyError if there is no such name."""
    return _NUMBERS[name]


CODE, DATA, STACK = number("CODE"), number("DATA"), number("STACK")
CONSTANT, SUPERVISOR = number("CONSTANT"), number("SUPERVISOR")
VECTOR_TIMER, VECTOR_END = number("VECTOR_TIMER"), number("VECTOR_END")
POOL_SIZE, FX_SIZE, PAGE_SIZE = number("POOL_SIZE"), number("FX_SIZE"), 4096
MODULE_LIMIT = 300 << 10
"""Size of a module that is sure to fit beside the kernel in GRUB's memory disk."""
