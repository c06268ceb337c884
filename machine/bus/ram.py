"""Physical memory: one buffer that the machine owns.

Unicorn executes from it, WebAssembly linear memory is part of it, scrubbing fills it and residue scans read it. There
are no copies.

Unicorn itself writes only to pages that were not executed. Every other write calls `Ram.changed`, which records writes
to translated code, so that the processor retranslates it (translations.py). So `view` is read-only, and a writer that
needs a host address gets it from `lend`. A writer other than an instruction names itself, for those who watch.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import msgspec

from machine.bus.host_memory import HostMemory
from machine.bus.writer import Seen, Writer
from machine.errors import MachineError

PAGE_SIZE = 4096
LINE_SIZE = 256
"""Bytes in a line, the unit in which translated code is tracked.

Short lines allow data close to code; long ones are faster to search.
"""
_LONGEST_RUN = 64
"""Pages in a run, at most."""


class RamImage(msgspec.Struct, frozen=True):
    """The content of RAM."""

    runs: tuple[tuple[int, bytes], ...]
    """Runs of pages with their physical addresses, in order; all other pages are zero."""


class _WatchedView:
    """A view whose reader is known."""

    def __init__(self, view: memoryview, seen: Callable[[int, int], None]) -> None:
        self._view, self._seen = view, seen

    def __getitem__(self, index: "slice | int") -> "memoryview | int":
        where = range(*index.indices(len(self._view))) if isinstance(index, slice) else range(index, index + 1)
        self._seen(where.start, len(where))
        return self._view[index]


class Ram:
    """`size` bytes of memory from physical address 0. Raises MachineError unless `size` is whole pages."""

    def __init__(self, size: int, reserve: int = 0) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise MachineError(f"RAM size {size} is not a positive multiple of {PAGE_SIZE} bytes")
        self._memory = HostMemory(size, reserve)
        self.size = size
        self.reserve = self._memory.reserve
        """Bytes of inaccessible address space after the end of RAM in this process."""
        self.host_address = self._memory.address
        """The address of RAM in this process. Only for Unicorn and the hooks; other writers use `lend`."""
        self._keep_and_view = (ctypes.c_char * size).from_address(self.host_address)
        self._bytes = memoryview(self._keep_and_view).cast("B")
        self.view = self._bytes.toreadonly()
        """The bytes themselves, read-only and not copied. Slices are not checked: see `check`."""
        self.code_lines = bytearray(size // LINE_SIZE)
        """A byte for each line: 1 if it contains a byte of a translated instruction."""
        self.fetched_pages = bytearray(size // PAGE_SIZE)
        """A byte for each page: 1 if instructions may have been fetched from it."""
        self.stale_code: list[range] = []
        """Ranges with translated code that were written since translations were last dropped."""
        self.on_stale_code: Callable[[], None] | None = None
        """Called after each new entry in `stale_code`."""
        self.rewritten: list[range] = []
        """Ranges written in pages with `fetched_pages` set, since the last call of `take_rewritten`."""
        self._lent: list[range] = []
        self.on_watch: Callable[[], None] = lambda: None
        """Called when `watch` begins."""
        self._watched: list[tuple[range, Seen]] = []
        self._reader: Callable[[int, int], None] | None = None

    def check(self, base: int, length: int) -> None:
        """Raise MachineError unless the range is inside RAM."""
        if base < 0 or length < 0 or base + length > self.size:
            raise MachineError(f"physical range {base:#x}+{length:#x} is not inside RAM (0x0-{self.size - 1:#x})")

    def read(self, base: int, length: int) -> bytes:
        """Return `length` bytes from physical address `base`."""
        self.check(base, length)
        return bytes(self.view[base : base + length])

    def write(self, base: int, data: bytes | memoryview, by: Writer | None = None) -> None:
        """Write `data` to physical address `base`.

        Args:
            base: The physical address.
            data: The bytes.
            by: The writer; None for an instruction, whose accesses `Cpu.watch_memory` reports.
        """
        length = len(data)
        self.check(base, length)
        self._bytes[base : base + length] = data
        if self.fetched_pages.find(1, base // PAGE_SIZE, (base + length + PAGE_SIZE - 1) // PAGE_SIZE) >= 0:
            self._code_changed(base, length)
        if by is not None and self._watched:
            self._report(by, base, length)

    def zero(self, base: int, length: int, by: Writer | None = None) -> None:
        """Fill a range with zeros. See `write` for `by`."""
        self.check(base, length)
        self._memory.zero(base, length)
        self.changed(base, length)
        if by is not None and self._watched:
            self._report(by, base, length)

    def watch(self, where: range, seen: Seen) -> Callable[[], None]:
        """Report each write to a range that is not an instruction's, nor that of a writer to which it is lent.

        Args:
            where: Physical addresses.
            seen: Called after each write.

        Returns:
            A function that ends the reports.
        """
        watched = where, seen
        self._watched.append(watched)
        self.on_watch()
        return lambda: self._watched.remove(watched)

    def watch_reads(self, seen: Callable[[int, int], None]) -> Callable[[], None]:
        """Report what is read by anything but Unicorn, which reads data, code and page tables.

        Args:
            seen: Called before each read with its physical address and its size in bytes; of what is lent, after it
                may have been read.

        Returns:
            A function that ends the reports.
        """
        view = self.view
        self.view, self._reader = cast(memoryview, _WatchedView(view, seen)), seen

        def end() -> None:
            self.view, self._reader = view, None

        return end

    def is_watched(self, where: range) -> bool:
        """Report whether writes to a part of a range are reported."""
        return any(where.start < other.stop and other.start < where.stop for other, _ in self._watched)

    def _report(self, by: Writer, base: int, length: int) -> None:
        for where, seen in self._watched:
            if base < where.stop and where.start < base + length:
                seen(by, base, length)

    def lend(self, base: int, length: int) -> int:
        """Return the host address of a range, for a direct writer. It must call `lent_changed` after writing."""
        self.check(base, length)
        self._lent.append(range(base, base + length))
        return self.host_address + base

    def lent_changed(self) -> None:
        """Record that all lent ranges may have been read and written."""
        for where in self._lent:
            if self._reader is not None:
                self._reader(where.start, len(where))
            self.changed(where.start, len(where))

    def changed(self, base: int, length: int) -> None:
        """Record a write to a range by something other than Unicorn."""
        if self.fetched_pages.find(1, base // PAGE_SIZE, (base + length + PAGE_SIZE - 1) // PAGE_SIZE) >= 0:
            self._code_changed(base, length)

    def _code_changed(self, base: int, length: int) -> None:
        self.rewritten.append(range(base, base + length))
        lines, end = self.code_lines, (base + length + LINE_SIZE - 1) // LINE_SIZE
        first = lines.find(1, base // LINE_SIZE, end)
        if first < 0:
            return
        end = lines.rfind(1, first, end) + 1
        lines[first:end] = bytes(end - first)
        self.make_stale(range(first * LINE_SIZE, end * LINE_SIZE))

    def make_stale(self, where: range) -> None:
        """Make the processor drop the translated code of a range before its next instruction."""
        self.stale_code.append(where)
        if self.on_stale_code is not None:
            self.on_stale_code()

    def take_rewritten(self) -> list[range]:
        """Return the content of `rewritten`, and empty it."""
        found = self.rewritten
        if found:
            self.rewritten = []
        return found

    def is_zero(self, base: int, length: int) -> bool:
        """Report whether every byte of a range is zero."""
        self.check(base, length)
        if self._reader is not None:
            self._reader(base, length)
        return self._memory.is_zero(base, length)

    def nonzero_pages(self, within: Iterable[range] | None = None) -> list[int]:
        """Return the physical addresses of pages with a nonzero byte, in order, in some ranges or in all of RAM."""
        found: list[int] = []
        touched = self._touched()
        for part in [range(self.size)] if within is None else within:
            for base, end in _runs(touched, part.start // PAGE_SIZE, part.stop // PAGE_SIZE):
                if not self._memory.is_zero(base, end - base):
                    found += (page for page in range(base, end, PAGE_SIZE) if not self._memory.is_zero(page, PAGE_SIZE))
        return found

    def image(self, without: Iterable[range] = (), *, like: RamImage | None = None) -> RamImage:
        """Return a copy of RAM, excluding some ranges of whole pages. Runs equal to those of `like` are shared."""
        known = {} if like is None else dict(like.runs)
        return RamImage(tuple(self._run(base, end, known.get(base)) for base, end in _runs(self._flags(without))))

    def _run(self, base: int, end: int, known: bytes | None) -> tuple[int, bytes]:
        if known is not None and len(known) == end - base and self._memory.equals(base, known):
            return base, known
        return base, bytes(self.view[base:end])

    def equals(self, base: int, data: bytes) -> bool:
        """Report whether a range holds `data`."""
        self.check(base, len(data))
        return self._memory.equals(base, data)

    def changed_pages(self, image: RamImage, without: Iterable[range] = ()) -> list[int]:
        """Return the physical addresses of pages that differ from `image`, in order, excluding some ranges."""
        others = self._flags(without)
        changed: list[int] = []
        for base, data in image.runs:
            others[base // PAGE_SIZE : (base + len(data)) // PAGE_SIZE] = bytes(len(data) // PAGE_SIZE)
            changed += (base + at for at in self._memory.differing(base, data, PAGE_SIZE))
        for start, end in _runs(others):
            changed += (page for page in range(start, end, PAGE_SIZE) if not self._memory.is_zero(page, PAGE_SIZE))
        return sorted(changed)

    def _flags(self, without: Iterable[range]) -> bytearray:
        """Return a byte for each page: 1 if it may be nonzero and is outside `without`."""
        flags = self._touched()
        for part in without:
            flags[part.start // PAGE_SIZE : part.stop // PAGE_SIZE] = bytes(len(part) // PAGE_SIZE)
        return flags

    def load(self, image: RamImage) -> None:
        """Restore the content of `image`."""
        others = self._touched()
        for base, data in image.runs:
            first, count = base // PAGE_SIZE, len(data) // PAGE_SIZE
            others[first : first + count] = bytes(count)
            for at in self._memory.differing(base, data, PAGE_SIZE):
                self.write(base + at, data[at : at + PAGE_SIZE])
        for base, end in _runs(others):
            self._memory.drop(base, end - base)
            self.changed(base, end - base)

    def _touched(self) -> bytearray:
        return self._memory.touched_pages()


def _runs(flags: bytes | bytearray, first: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield start and end address of each run of pages whose flag is 1."""
    stop = len(flags) if stop is None else stop
    start = flags.find(1, first, stop)
    while start >= 0:
        longest = min(start + _LONGEST_RUN, stop)
        end = flags.find(0, start, longest)
        end = longest if end < 0 else end
        yield start * PAGE_SIZE, end * PAGE_SIZE
        start = flags.find(1, end, stop)
