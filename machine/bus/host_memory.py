"""Everything that depends on the host: memory mappings and executable pages.

Hosts other than Linux get portable fallbacks: RAM without reserved address space after it, and no native code. They are
slower but behave alike.
"""

import ctypes
import mmap
import platform
import sys
import weakref
from collections.abc import Iterator

from machine.bus import pagemap
from machine.errors import MachineError

LINUX = sys.platform == "linux"
_PROT_NONE = 0
_MAP_FIXED = 0x10
_MAP_NORESERVE = 0x4000
_MADV_NOHUGEPAGE = 15
_WORTH_DROPPING = 1 << 16
_ZEROS = bytes(1 << 14)
_MAP_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
if LINUX:
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def native_architecture() -> str | None:
    """Return the name of the host processor if it can run the native hooks, else None."""
    names = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    return names.get(platform.machine()) if LINUX else None


def require_address_space(size: int) -> None:
    """Raise MachineError unless this process may map `size` more bytes: some libraries end the process instead."""
    if LINUX:
        _libc.munmap(_reserved(size), size)


def _reserved(size: int) -> int:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    address: int = _libc.mmap(None, size, _PROT_NONE, flags, -1, 0)
    if address == _MAP_FAILED:
        raise MachineError(f"the host does not allow {size} bytes of address space; `ulimit -v` shows its limit")
    return address


class HostMemory:
    """Zeroed, page-aligned memory of this process, at a fixed address until it is collected.

    On Linux, `reserve` bytes of inaccessible address space follow: an access there is a fault of this process, which
    WebAssembly engines turn into a trap. The attribute `reserve` is the reserved size, 0 on other systems. Raises
    MachineError.
    """

    def __init__(self, size: int, reserve: int = 0) -> None:
        self.size = size
        if LINUX:
            address = _reserved(size + reserve)
            writable = mmap.PROT_READ | mmap.PROT_WRITE
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
            if _libc.mmap(address, size, writable, flags, -1, 0) != address:
                raise MachineError(f"the host has no {size} bytes of memory")
            self.address = address
            self.reserve = reserve
            weakref.finalize(self, _libc.munmap, address, size + reserve)
            _libc.madvise(address, size, _MADV_NOHUGEPAGE)  # a huge page would be allocated for one byte
        else:
            self._keep = mmap.mmap(-1, size)
            self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._keep))
            self.reserve = 0

    def zero(self, offset: int, length: int) -> None:
        """Fill a range with zeros. Whole pages are dropped, because dropped anonymous pages read as zero."""
        if not LINUX or length < _WORTH_DROPPING:
            ctypes.memset(self.address + offset, 0, length)
            return
        start, end = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE, (offset + length) // mmap.PAGESIZE * mmap.PAGESIZE
        _libc.madvise(self.address + start, end - start, mmap.MADV_DONTNEED)
        ctypes.memset(self.address + offset, 0, start - offset)
        ctypes.memset(self.address + end, 0, offset + length - end)

    def drop(self, offset: int, length: int) -> None:
        """Fill whole pages with zeros by dropping them."""
        if LINUX:
            _libc.madvise(self.address + offset, length, mmap.MADV_DONTNEED)
        else:
            ctypes.memset(self.address + offset, 0, length)

    def equals(self, offset: int, data: bytes) -> bool:
        """Report whether a range holds `data`."""
        return bool(_libc.memcmp(self.address + offset, data, len(data)) == 0)

    def differing(self, offset: int, data: bytes, size: int) -> Iterator[int]:
        """Yield the offsets in `data` of its blocks of `size` bytes that the range at `offset` does not hold."""
        if self.equals(offset, data):
            return
        compare, here, wanted = _libc.memcmp, self.address + offset, _address_of(data)
        for at in range(0, len(data), size):
            if compare(here + at, wanted + at, min(size, len(data) - at)):
                yield at

    def is_zero(self, offset: int, length: int) -> bool:
        """Report whether a range is all zero. Untouched pages are zero and need not be read."""
        if length >= _WORTH_DROPPING and self._is_untouched(offset, length):
            return True
        return is_filled_with_zero(self.address + offset, length)

    def touched_pages(self) -> bytearray:
        """Return a byte for each page: 0 if it is certainly zero, else 1."""
        count = self.size // mmap.PAGESIZE
        runs = pagemap.touched_runs(self.address, self.size)
        if runs is None:
            return bytearray(not self.is_zero(page * mmap.PAGESIZE, mmap.PAGESIZE) for page in range(count))
        flags = bytearray(count)
        for start, end in runs:
            first, stop = (start - self.address) // mmap.PAGESIZE, (end - self.address) // mmap.PAGESIZE
            flags[first:stop] = b"\1" * (stop - first)
        return flags

    def _is_untouched(self, offset: int, length: int) -> bool:
        """Report whether no page of a range is present or swapped."""
        start = (self.address + offset) // mmap.PAGESIZE * mmap.PAGESIZE
        end = -(-(self.address + offset + length) // mmap.PAGESIZE) * mmap.PAGESIZE
        return pagemap.touched_runs(start, end - start, first_only=True) == []


def executable(code: bytes) -> tuple[int, object]:
    """Copy raw machine code to an executable page. Raises OSError if the host forbids such pages.

    Args:
        code: Position-independent code.

    Returns:
        Its address, and the object that keeps it alive.
    """
    page = mmap.mmap(-1, max(len(code), 1), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page[: len(code)] = code
    return ctypes.addressof(ctypes.c_char.from_buffer(page)), page


def _address_of(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def is_filled_with_zero(address: int, size: int) -> bool:
    """Report whether `size` bytes of host memory are zero: the first is, and each equals the next (one memcmp)."""
    if 0 < size <= len(_ZEROS):
        return bool(_libc.memcmp(address, _ZEROS, size) == 0)
    if size <= 0:
        return True
    first = ctypes.c_char.from_address(address).value
    return first == b"\0" and _libc.memcmp(address, address + 1, size - 1) == 0
