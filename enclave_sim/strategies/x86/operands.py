"""Operands for hostile code: a decision picks one, the harmless ones first."""

from dataclasses import dataclass, field
from functools import cache

import firmware
from enclave_sim.memory_map import region, regions
from enclave_sim.strategies.choice_bytes import Draw, tape

_CANONICAL_END = 1 << 47
_FLAG_BITS = {"IF": 9, "TF": 8, "DF": 10, "NT": 14, "RF": 16, "VM": 17, "AC": 18, "VIF": 19, "ID": 21}
FLAGS = {"IOPL": 3 << 12} | {name: 1 << bit for name, bit in _FLAG_BITS.items()}
_SYSENTER_MSRS, _SYSCALL_MSRS, _BASE_MSRS = (
    range(0x174, 0x177),
    range(0xC0000080, 0xC0000085),
    range(0xC0000100, 0xC0000104),
)
MSRS = (0x10, 0x1B, 0x277, 0x38F, 0x6E0, 0x808, *_SYSENTER_MSRS, *_SYSCALL_MSRS, *_BASE_MSRS, 0xFFFF_FFFF)
"""Time-stamp counter, APIC base, PAT, SYSENTER, EFER and SYSCALL, segment bases, and some that do not exist."""
PORTS = (0x3F8, 0x80, 0xF4, 0x3FD, 0x20, 0x21, 0x40, 0x60, 0x64, 0x70, 0xCF8, 0xCFC, 0xFFFF)
_KERNEL = ("gate", "annihilate", "host_call_entry", "irq_entry", "interrupt_stubs", "fall_dormant", "idt", "gdt", "tss")
_DEVICES = ("SCRUB", "APIC", "ENCLAVE", "MAILBOX")


@cache
def addresses() -> tuple[int, ...]:
    """Return addresses: the guest's own, those at and next to both ends of every region, devices, unmapped ones."""
    layout = firmware.layout()
    heap, stack, staging = region("heap"), region("guest_stack"), region("staging")
    own = (heap.base, heap.base + 64, heap.end - 8, stack.end - 64, stack.base, staging.base, staging.base + 64)
    ends = [address for r in regions() for address in (r.base, r.base + 8, r.end - 4, r.base - 8, r.end)]
    devices = [layout[name] for name in _DEVICES]
    registers = [
        layout["ENCLAVE"] + layout["ENCLAVE_POWER"],
        layout["ENCLAVE"] + layout["ENCLAVE_UPLINK_COMMIT"],
        layout["SCRUB"] + layout["SCRUB_CHANNEL"] + 8,
        layout["APIC"] + layout["APIC_INITIAL_COUNT"],
    ]
    tables = [layout[name] for name in sorted(layout) if name.startswith(("PML4_", "PDPT_", "PD_", "PT_"))]
    kernel = [firmware.built_in().symbols[name] for name in _KERNEL]
    top = 1 << 64
    nowhere = (0, 8, 0xFFF, layout["RAM_SIZE"], layout["HEAP_WINDOW"], 0xB8000, (1 << 32) - 4, 1 << 32)
    edges = (_CANONICAL_END - 8, _CANONICAL_END - 1, _CANONICAL_END, 1 << 63, top - _CANONICAL_END, top - 1, top - 8)
    return (*own, *ends, *devices, *registers, *tables, *kernel, *nowhere, *edges)


@dataclass(frozen=True)
class Places:
    """Addresses and selectors of the code's environment."""

    scratch: int
    """The address of a page that the code may write."""
    code_selector: int
    """The selector in CS."""
    data_selector: int
    """The selector in SS."""
    entries: int
    """The number of descriptor table entries to try."""
    addresses: tuple[int, ...] = field(repr=False)
    """Addresses in every kind of page, the harmless ones first."""


@cache
def enclave_places() -> Places:
    """Return the places of a guest of the enclave."""
    return Places(region("heap").base + 0x100, 0x23, 0x1B, 10, addresses())


class Decisions:
    """A decision tape, with the places from which it chooses."""

    def __init__(self, decisions: bytes, places: Places | None = None) -> None:
        self._draw: Draw = tape(decisions)
        self.places = enclave_places() if places is None else places

    def __call__(self) -> int:
        """Return the next decision, 0 to 255."""
        return self._draw()


def address(draw: Decisions) -> int:
    """Pick a 64-bit address."""
    known = draw.places.addresses
    choice = draw() | draw() << 8
    return known[choice % len(known)]


def register(draw: Draw) -> int:
    """Pick a general register by number; the simplest is RAX."""
    return draw() & 15


def selector(draw: Decisions) -> int:
    """Pick a selector: CS or SS, either with another RPL or table, or any entry of the table."""
    choice, detail = draw() % 4, draw()
    own = (draw.places.code_selector, draw.places.data_selector)
    if choice < 2:
        return own[choice]
    if choice == 2:
        return own[detail & 1] ^ detail >> 1 & 7
    return detail % 8 | detail // 8 % draw.places.entries << 3


_SIGNS = (7, 15, 31, 63)


def value(draw: Decisions) -> int:
    """Pick a 64-bit value: a small one, a power of two or its neighbour, of either sign, an address, a selector."""
    choice, detail = draw() % 8, draw()
    if choice < 2:
        return detail if detail < 0xC0 else detail - 0x100
    if choice < 5:
        sign = detail & 0x60
        power = 1 << (_SIGNS[detail & 3] if sign else detail & 0x1F | draw() & 0x20)
        return (power - (sign == 0x20)) * (-1 if detail & 0x80 else 1)
    if choice < 7:
        return draw.places.addresses[detail % len(draw.places.addresses)]
    return selector(Decisions(bytes([detail, detail >> 2]), draw.places))


def flags(draw: Draw) -> int:
    """Pick a value for RFLAGS: bit 1, which is always set, and any of the system flags."""
    choice = draw() | draw() << 8
    return 2 | sum(flag for i, flag in enumerate(FLAGS.values()) if choice >> i & 1)


def pick(draw: Draw, known: tuple[int, ...]) -> int:
    """Pick one of these."""
    return known[draw() % len(known)]
