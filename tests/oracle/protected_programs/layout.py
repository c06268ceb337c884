"""The numbers of layout.inc, by their names there."""

import re
from pathlib import Path

_LINE = re.compile(r"^#define (\w+) (\w+)", re.MULTILINE)
_NUMBERS = {name: int(value, 0) for name, value in _LINE.findall(Path(__file__).with_name("layout.inc").read_text())}


def number(name: str) -> int:
    """A number of layout.inc. Raises KeyError if there is no such name."""
    return _NUMBERS[name]
