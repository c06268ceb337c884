"""Operands that hostile code would try: one decision picks one, the harmless ones first."""

from functools import cache

import firmware
from enclave_sim.memory_map import region, regions
from enclave_sim.strategies.tape import Draw

_CANONICAL_END = 1 << 47
_FLAG_BITS = {"IF": 9, "TF": 8, "DF": 10, "NT": 14, "RF": 16, "VM": 17, "AC": 18, "VIF": 19, "ID": 21}
FLAGS = {"IOPL": 3 << 12} | {name: 1 << bit for name, bit in _FLAG_BITS.items()}
_SYSENTER_MSRS, _SYSCALL_MSRS, _BASE_MSRS = (
    range(0x174, 0x177),
    range(0xC0000080, 0xC0000085),
    range(0xC0000100, 0xC0000104),
)
MSRS = (0x10, 0x1B, 0x277, 0x38F, 0x6E0, 0x808, *_SYSENTER_MSRS, *_SYSCALL_MSRS, *_BASE_MSRS, 0xFFFF_FFFF)
"""Time stamp counter, APIC base, PAT, SYSENTER, EFER and SYSCALL, segment bases, and some that are not there."""
PORTS = (0x3F8, 0x80, 0xF4, 0x3FD, 0x20, 0x21, 0x40, 0x60, 0x64, 0x70, 0xCF8, 0xCFC, 0xFFFF)
SELECTORS = (0x23, 0x1B, 0, 3, 0x20, 0x18, 0x08, 0x10, 0x0B, 0x13, 0x28, 0x2B, 0x30, 0x33, 0x38, 0x04, 0x07, 0xFFFF)
"""Code and data of ring 3, null, the same with another RPL, of ring 0, the TSS, behind the table, in an LDT."""
_KERNEL = ("gate", "annihilate", "host_call_entry", "irq_entry", "interrupt_stubs", "fall_dormant", "idt", "gdt", "tss")
_DEVICES = ("SCRUB", "APIC", "ENCLAVE", "MAILBOX")


@cache
def addresses() -> tuple[int, ...]:
    """Addresses: the guest's own, both ends of every region and what is next to them, devices, nowhere."""
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
    kernel = [firmware.symbols()[name] for name in _KERNEL]
    top = 1 << 64
    nowhere = (0, 8, 0xFFF, layout["RAM_SIZE"], layout["HEAP_WINDOW"], 0xB8000, (1 << 32) - 4, 1 << 32)
    edges = (_CANONICAL_END - 8, _CANONICAL_END - 1, _CANONICAL_END, 1 << 63, top - _CANONICAL_END, top - 1, top - 8)
    return (*own, *ends, *devices, *registers, *tables, *kernel, *nowhere, *edges)


def address(draw: Draw) -> int:
    """An address of 64 bits."""
    known = addresses()
    choice = draw() | draw() << 8
    return known[choice % len(known)]


def register(draw: Draw) -> int:
    """A general register; the simplest is RAX."""
    return draw() & 15


def value(draw: Draw) -> int:
    """A value of 64 bits: small, a power of two or next to one, an address."""
    choice, detail = draw() % 4, draw()
    if choice == 0:
        return detail
    if choice == 1:
        return (1 << detail % 64) - (detail >> 6 & 1)
    if choice == 2:
        return -1 - detail
    return address(lambda: detail)


def flags(draw: Draw) -> int:
    """A value for RFLAGS: bit 1, which is always set, and a choice of the system flags."""
    choice = draw() | draw() << 8
    return 2 | sum(flag for i, flag in enumerate(FLAGS.values()) if choice >> i & 1)


def pick(draw: Draw, known: tuple[int, ...]) -> int:
    """One of these."""
    return known[draw() % len(known)]
