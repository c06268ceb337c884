"""The residue scan: the bytes left in RAM when the enclave is dormant.

Residue is any byte that is neither zero nor equal to the measured read-only image, page tables included. The scan reads
all of RAM, not only the ranges that should have been scrubbed; or, on a PC whose firmware reserves RAM, all ranges
reported as usable.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

import msgspec

from enclave_sim.memory_map import region_at
from machine.boot.elf import Segment
from machine.bus.ram import PAGE_SIZE, Ram

_WRITABLE = 2


class ResidueRange(msgspec.Struct, frozen=True):
    """Consecutive bytes of residue."""

    base: int
    data: bytes
    region: str
    """The region of the memory map, or `unmapped`."""


class Residue(msgspec.Struct, frozen=True):
    """The result of a scan. The guarantee is that it is empty."""

    ranges: tuple[ResidueRange, ...]
    scanned_bytes: int

    @property
    def total_bytes(self) -> int:
        """Number of bytes of residue."""
        return sum(len(r.data) for r in self.ranges)


def scan(ram: Ram, segments: Sequence[Segment], usable: Sequence[range] | None = None) -> Residue:
    """Compare all of RAM, or its `usable` addresses, with zero and with the read-only segments of the image."""
    looked_at = [range(ram.size)] if usable is None else usable
    expected, blank = _pages(tuple(s for s in segments if not s.flags & _WRITABLE)), bytes(PAGE_SIZE)
    found: list[ResidueRange] = []
    for page in ram.nonzero_pages():
        allowed = expected.get(page, blank)
        if not ram.equals(page, allowed):
            content = ram.read(page, PAGE_SIZE)
            for part in looked_at:
                start, end = max(page, part.start), min(page + PAGE_SIZE, part.stop)
                if start < end:
                    at = slice(start - page, end - page)
                    found += _differences(start, content[at], allowed[at])
    return Residue(tuple(found), sum(len(part) for part in looked_at))


@lru_cache(maxsize=4)
def _pages(segments: tuple[Segment, ...]) -> dict[int, bytes]:
    """Return the content of each page of the segments, by address."""
    return {
        segment.physical + offset: segment.data[offset : offset + PAGE_SIZE].ljust(PAGE_SIZE, b"\0")
        for segment in segments
        for offset in range(0, len(segment.data), PAGE_SIZE)
    }


def _differences(base: int, content: bytes, allowed: bytes) -> Iterator[ResidueRange]:
    """Yield the ranges of bytes that are neither zero nor allowed."""
    for foreign, run in groupby(range(len(content)), lambda offset: content[offset] not in (0, allowed[offset])):
        if foreign:
            offsets = list(run)
            where = region_at(base + offsets[0])
            name = where.name if where is not None else "unmapped"
            yield ResidueRange(base + offsets[0], bytes(content[offset] for offset in offsets), name)
