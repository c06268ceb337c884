"""The pages of this process that have content: proc_pid_pagemap(5).

A page of anonymous memory that is neither present nor swapped is zero. Linux 6.7 and later report such runs directly;
older kernels report eight bytes for each page.
"""

import ctypes
import fcntl
import mmap
import os
import struct
import sys

_PAGEMAP_SCAN = 0xC060_6610  # _IOWR('f', 16, struct pm_scan_arg), uapi/linux/fs.h
_SCAN = struct.Struct("<12Q")
"""pm_scan_arg: size, flags, start, end, walk_end, vec, vec_len, max_pages, and four masks of categories."""
_PRESENT_OR_SWAPPED = 1 << 3 | 1 << 4
_WALK_END = 4
_REGIONS = 128
"""Runs that one scan reports at most."""
_SWAPPED_IN_ENTRY = 0x40  # the top byte of an entry: 0x80 present, 0x40 swapped
_TOUCHED = bytes(top >= _SWAPPED_IN_ENTRY for top in range(256))


class _Scans:
    """The open page map of this process, and whether its kernel scans it."""

    def __init__(self) -> None:
        self.regions = (ctypes.c_uint64 * (3 * _REGIONS))()
        self.argument = bytearray(_SCAN.size)
        self.file: int | None = None
        self.has_scan = True
        self.open()

    def open(self) -> None:
        """Open the page map; again in a forked child, which must not read its parent's."""
        try:
            self.file = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC) if sys.platform == "linux" else None
        except OSError:
            self.file = None


_scans = _Scans()
if sys.platform == "linux":
    os.register_at_fork(after_in_child=_scans.open)


def touched_runs(address: int, length: int, *, first_only: bool = False) -> list[tuple[int, int]] | None:
    """Find the pages that are present or swapped.

    Args:
        address: The first address, at a page boundary.
        length: The number of bytes, of whole pages.
        first_only: The search may end after the first run.

    Returns:
        Start and end address of each run of pages, in order; None if the kernel does not tell.
    """
    if _scans.file is None:
        return None
    found = _scan(_scans.file, address, address + length, 1 if first_only else _REGIONS) if _scans.has_scan else None
    return _read(_scans.file, address, length) if found is None else found


def _scan(file: int, address: int, end: int, room: int) -> list[tuple[int, int]] | None:
    found: list[tuple[int, int]] = []
    regions, mask = _scans.regions, _PRESENT_OR_SWAPPED
    at = address
    while at < end:
        _SCAN.pack_into(
            _scans.argument, 0, _SCAN.size, 0, at, end, 0, ctypes.addressof(regions), room, 0, 0, 0, mask, mask
        )
        try:
            count = fcntl.ioctl(file, _PAGEMAP_SCAN, _scans.argument)
        except OSError:
            _scans.has_scan = False
            return None
        values = regions[: 3 * count]
        found += zip(values[::3], values[1::3], strict=True)
        if count < room or room == 1:
            break
        at = _SCAN.unpack(_scans.argument)[_WALK_END]
    return found


def _read(file: int, address: int, length: int) -> list[tuple[int, int]] | None:
    count = length // mmap.PAGESIZE
    entries = os.pread(file, 8 * count, 8 * (address // mmap.PAGESIZE))
    if len(entries) != 8 * count:
        return None
    flags = entries[7::8].translate(_TOUCHED)
    found: list[tuple[int, int]] = []
    start = flags.find(1)
    while start >= 0:
        end = flags.find(0, start)
        end = count if end < 0 else end
        found.append((address + start * mmap.PAGESIZE, address + end * mmap.PAGESIZE))
        start = flags.find(1, end)
    return found
