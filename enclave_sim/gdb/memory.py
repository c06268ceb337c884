"""Memory layout: the physical place of a linear range, and the memory map for gdb."""

from functools import lru_cache

from enclave_sim.enclave.kernel.mapped_memory import physical
from enclave_sim.memory_map import regions
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

_LINEAR = 1 << 64


def place_of(machine: Machine, address: int, length: int) -> range | None:
    """Return the physical range to which a linear one is mapped; None unless it is in RAM and contiguous."""
    if address + length > _LINEAR:
        return None
    base = physical(machine, address)
    if base is None:
        return None
    pages = range(address - address % PAGE_SIZE + PAGE_SIZE, address + length, PAGE_SIZE)
    whole = all(physical(machine, page) == base + page - address for page in pages)
    return range(base, base + length) if whole else None


def pieces_of(machine: Machine, address: int, length: int) -> list[range] | None:
    """Return the physical ranges, page by page, of a linear range; None unless all of it is RAM."""
    if address + length > _LINEAR:
        return None
    found: list[range] = []
    while length:
        size = min(length, PAGE_SIZE - address % PAGE_SIZE)
        base = physical(machine, address)
        if base is None:
            return None
        found.append(range(base, base + size))
        address, length = address + size, length - size
    return found


@lru_cache(maxsize=1)  # gdb reads the document for its machine in pieces
def memory_map(ram_size: int) -> bytes:
    """Return the memory map. Regions of the measured image are read-only, all other RAM is not.

    In the enclave's kernel, linear addresses are physical ones. Devices are left out, so that gdb does not read them.

    Args:
        ram_size: The size of RAM in bytes.

    Returns:
        The XML document.
    """
    lines, free = [], 0
    for region in regions():
        lines.append(_memory("ram", free, region.base, "other"))
        lines.append(_memory("rom" if region.measured else "ram", region.base, region.end, region.name))
        free = region.end
    lines.append(_memory("ram", free, ram_size, "other"))
    document = '<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN"'
    return (
        '<?xml version="1.0"?>\n'
        f'{document} "http://sourceware.org/gdb/gdb-memory-map.dtd">\n<memory-map>\n{"".join(lines)}</memory-map>\n'
    ).encode()


def _memory(kind: str, start: int, end: int, name: str) -> str:
    if start == end:
        return ""
    return f'<memory type="{kind}" start="{start:#x}" length="{end - start:#x}"/><!-- {name} -->\n'
