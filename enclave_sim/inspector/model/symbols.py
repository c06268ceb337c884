"""The kernel's symbols and source lines, as text."""

from bisect import bisect_right
from functools import cache
from importlib import resources

import firmware
from enclave_sim.memory_map import region, region_at

_SPAN = 0x1000


@cache
def _known() -> tuple[list[int], list[str]]:
    pairs = sorted((value, name) for name, value in firmware.symbols().items())
    return [value for value, _ in pairs], [name for _, name in pairs]


def symbol(address: int) -> str:
    """`name+0x12` for an address in the kernel's image or data, or nothing."""
    values, names = _known()
    index = bisect_right(values, address) - 1
    where = region_at(address)
    if index < 0 or address - values[index] > _SPAN or where is None or region_at(values[index]) != where:
        return ""
    offset = address - values[index]
    return f"{names[index]}+{offset:#x}" if offset else names[index]


def nearest_symbol(address: int) -> int | None:
    """Where the symbol begins that an address belongs to."""
    values, _ = _known()
    return values[bisect_right(values, address) - 1] if symbol(address) else None


def place(address: int) -> str:
    """The symbol of an address, or the region it is in, or nothing."""
    where = region_at(address)
    return symbol(address) or (f"{where.name}+{address - where.base:#x}" if where is not None else "")


def in_kernel_code(address: int) -> bool:
    """Whether the kernel has code there, the gate included."""
    return any(region(name).base <= address < region(name).end for name in ("text", "gate"))


@cache
def source_text(file: str) -> tuple[str, ...]:
    """The lines of a source file of the kernel; none where it is not installed."""
    path = resources.files(firmware).joinpath("src", file)
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()


def source_line_text(file: str, line: int) -> str:
    """A line of the kernel's source."""
    lines = source_text(file)
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""
