"""The kernel's memory map (MAP_V2): name, address and rights of every region."""

from functools import cache, lru_cache

import msgspec

import firmware
from enclave_sim.specification import EngineName
from machine.bus.ram import PAGE_SIZE


class Region(msgspec.Struct, frozen=True):
    """A range of memory with one purpose. Addresses are physical, and also linear until annihilation step A2."""

    name: str
    base: int
    size: int
    rights: str
    """Rights granted by the page tables: `r`, `w` and `x`."""
    ring: int
    """The least privileged ring that may access it."""
    measured: bool
    """True for a part of the read-only image, which may remain in DORMANT."""

    @property
    def pages(self) -> range:
        """Addresses of its pages."""
        return range(self.base & -PAGE_SIZE, self.end, PAGE_SIZE)

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.base + self.size


_REGIONS = (
    ("text", "TEXT", "r-x", 0, True),
    ("rodata", "RODATA", "r--", 0, True),
    ("page_tables", "TABLES", "r--", 0, True),
    ("gate", "GATE", "r-x", 3, True),
    ("vmm_text", "VMM_TEXT", "r-x", 3, True),
    ("vmm_rodata", "VMM_RODATA", "r--", 3, True),
    ("data", "DATA", "rw-", 0, False),
    ("kernel_stack", "KERNEL_STACK", "rw-", 0, False),
    ("call_stack", "CALL_STACK", "rw-", 0, False),
    ("fault_stack", "FAULT_STACK", "rw-", 0, False),
    ("nmi_stack", "NMI_STACK", "rw-", 0, False),
    ("machine_check_stack", "CHECK_STACK", "rw-", 0, False),
    ("irq_stack", "IRQ_STACK", "rw-", 0, False),
    ("guest_stack", "GUEST_STACK", "rw-", 3, False),
    ("arena", "ARENA", "rw-", 0, False),
    ("staging", "STAGING", "rw-", 0, False),
    ("globals", "GLOBALS", "rw-", 3, False),
    ("values", "VALUES", "rw-", 3, False),
    ("calls", "CALLS", "rw-", 3, False),
    ("heap", "HEAP", "rw-", 3, False),
)
GUEST_MEMORY = ("guest_stack", "globals", "values", "calls", "heap")
"""All that ring 3 may write."""
_READ_BY_GUESTS = {EngineName.WASMTIME: (), EngineName.RESIDENT: ("staging", "arena"), EngineName.NATIVE: ("staging",)}


def rights(writable: bool, executable: bool) -> str:
    """Return the rights of a readable range in the form of regions: `rw-`, `r-x`."""
    return f"r{'w' if writable else '-'}{'x' if executable else '-'}"


@cache
def regions() -> tuple[Region, ...]:
    """Return all regions in order of address. Memory between them is not mapped."""
    layout = firmware.layout()
    return tuple(
        Region(name, layout[f"{prefix}_BASE"], layout[f"{prefix}_SIZE"], rights, ring, measured)
        for name, prefix, rights, ring, measured in _REGIONS
    )


@cache
def region(name: str) -> Region:
    """Return the region with a name. Raises KeyError if there is none."""
    return {r.name: r for r in regions()}[name]


def read_by_guests(engine: EngineName) -> tuple[Region, ...]:
    """Return the regions that ring 3 may read with an engine, or execute, and that nothing may write then."""
    return tuple(region(name) for name in _READ_BY_GUESTS[engine])


@lru_cache(maxsize=4096)  # one call for each page in 16 MiB of RAM
def region_at(address: int) -> Region | None:
    """Return the region that contains a physical address, or None."""
    return next((r for r in regions() if r.base <= address < r.end), None)
