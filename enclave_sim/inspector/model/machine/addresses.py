"""The translation of linear addresses to physical ones."""

from collections.abc import Callable

from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine


def translation(machine: Machine) -> Callable[[int], int | None]:
    """Return a function that translates a linear address to a physical one, by the current mapping.

    Args:
        machine: The machine, which must not run while the function is used, because each page is looked up only once.

    Returns:
        The function. It returns None for an address that is not mapped to RAM.
    """
    pages: dict[int, int | None] = {}

    def physical(address: int) -> int | None:
        page = address & -PAGE_SIZE
        if page not in pages:
            found = machine.cpu.memory.look(page)
            pages[page] = None if found is None or found.physical + PAGE_SIZE > machine.ram.size else found.physical
        base = pages[page]
        return None if base is None else base + address % PAGE_SIZE

    return physical
