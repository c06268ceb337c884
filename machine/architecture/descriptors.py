"""Segment and gate descriptors (SDM volume 3, 3.4.5, 6.11, 6.14.1), decoded."""

import struct
from functools import lru_cache

import msgspec

LDT, CALL_GATE_16, CALL_GATE = 0x2, 0x4, 0xC
TASK_GATE, INTERRUPT_GATE_16, TRAP_GATE_16, INTERRUPT_GATE, TRAP_GATE = 0x5, 0x6, 0x7, 0xE, 0xF
TASK_16_AVAILABLE, TASK_16_BUSY, TASK_AVAILABLE, TASK_BUSY = 0x1, 0x3, 0x9, 0xB
ACCESSED_BYTE, ACCESSED = 5, 1
"""The byte of a code or data descriptor that has the accessed flag, and the flag in it."""


class Gate(msgspec.Struct, frozen=True, gc=False):
    """An entry of the IDT."""

    selector: int
    handler: int
    kind: int
    """The type in bits 3:0 and the S bit in bit 4."""
    interrupt_stack_table: int
    level: int
    """DPL: the least privileged ring that may use it with an INT instruction."""
    present: bool


class Segment(msgspec.Struct, frozen=True, gc=False):
    """An entry of the GDT or LDT."""

    base: int
    limit: int
    flags: int
    """The second doubleword, as a segment register caches it."""
    level: int
    present: bool
    is_code: bool
    is_data: bool
    conforming: bool
    """For data: the segment expands down."""
    writable: bool
    """For code: the segment is readable."""
    long: bool
    default_32: bool

    @property
    def system_type(self) -> int:
        """The type of a system descriptor, such as TASK_AVAILABLE; 0x10 or more for code and data."""
        return self.flags >> 8 & 0x1F

    @property
    def gate_selector(self) -> int:
        """The selector, if this descriptor is a gate."""
        return self.base & 0xFFFF


@lru_cache(maxsize=1024)  # four full IDTs
def gate_64(raw: bytes) -> Gate:
    """Decode a 16-byte gate of IA-32e mode. `kind` is not a gate type if the reserved bit above it is set."""
    low, selector, ist, attributes, middle, high, _ = struct.unpack("<HHBBHII", raw)
    handler = low | middle << 16 | high << 32
    return Gate(selector, handler, attributes & 0x1F, ist & 7, attributes >> 5 & 3, bool(attributes & 0x80))


@lru_cache(maxsize=1024)  # four full IDTs
def gate_32(raw: bytes) -> Gate:
    """Decode an 8-byte gate of protected mode."""
    low, selector, _, attributes, high = struct.unpack("<HHBBH", raw)
    handler = low | (high << 16 if attributes & 8 else 0)
    return Gate(selector, handler, attributes & 0x1F, 0, attributes >> 5 & 3, bool(attributes & 0x80))


@lru_cache(maxsize=1024)  # kernels have tens of descriptors, random programs any number
def segment(raw: bytes) -> Segment:
    """Decode an 8-byte descriptor (a 64-bit TSS has 8 more bytes)."""
    low, high = struct.unpack("<II", raw)
    limit = low & 0xFFFF | high & 0xF_0000
    user, code = bool(high & 1 << 12), bool(high & 1 << 11)
    return Segment(
        base=low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000,
        limit=limit << 12 | 0xFFF if high & 1 << 23 else limit,
        flags=high,
        level=high >> 13 & 3,
        present=bool(high & 1 << 15),
        is_code=user and code,
        is_data=user and not code,
        conforming=bool(high & 1 << 10),
        writable=bool(high & 1 << 9),
        long=bool(high & 1 << 21),
        default_32=bool(high & 1 << 22),
    )
