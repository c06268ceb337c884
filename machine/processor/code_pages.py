"""Unicorn's permissions for pages from which the processor fetches.

Unicorn continues to execute stale translations after code is written, and aborts when it translates certain code
(untranslatable.py). So for Unicorn a page of RAM is either writable or executable:

* All pages are *writable* at first.
* A page from which the processor fetches becomes *executable*. Unicorn refuses stores to it, and they are made here.
* If the page has bytes that look untranslatable, it is *guarded* instead: neither writable nor executable. The
  processor steps through it (`Engine._execute_guarded`), and only harmless single instructions are translated.

A running Unicorn that loses the right to execute a page leaves the current instruction after its next memory access,
and would execute it once more. So permissions only change between instructions. Bytes that an instruction stores, or a
device, and that look untranslatable are *hidden* until the processor stops before the next instruction.

Each change of permissions splits Unicorn's memory into more regions, and the time for a change grows with their number.
So the more region boundaries there are, the larger the blocks of pages that change together. Included pages that were
not fetched from become writable again at the first store.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from unicorn import (
    UC_HOOK_MEM_FETCH_PROT,
    UC_HOOK_MEM_WRITE_PROT,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    UC_PROT_WRITE,
    Uc,
)

from machine.bus.host_memory import require_address_space
from machine.bus.ram import LINE_SIZE, PAGE_SIZE, Ram
from machine.processor.step_hook import add_hook
from machine.processor.untranslatable import LONGEST, Edges, looks_untranslatable

_UNDEFINED_OPCODE = 0x04
"""Of two-byte opcodes. Whatever stands before it, this byte makes no untranslatable instruction."""
_DOUBLE_EVERY = 32
"""Blocks double in size for each additional number of boundaries."""
_FEW_BOUNDARIES = 512
"""With more, pages do not become writable again."""
_TRANSLATIONS_BYTES = 0x4010_0000
"""Address space that Unicorn maps for translations: 1 GiB and a little more."""


def map_ram(uc: Uc, ram: Ram) -> None:
    """Map RAM for Unicorn, with all permissions, in ranges that are cheap to split.

    Args:
        uc: The engine.
        ram: The RAM, mapped from physical address 0.

    Raises:
        MachineError: The host's address space is too small for Unicorn, which would end the process.
    """
    require_address_space(_TRANSLATIONS_BYTES)  # mapped with the first range
    for start, end in pairwise(boundaries(ram.size)):
        uc.mem_map_ptr(start, end - start, UC_PROT_ALL, ram.host_address + start)


def boundaries(size: int) -> list[int]:
    """Return the ends of the ranges in which RAM is mapped: 0, powers of two from 1 MiB on, and `size`, in bytes.

    Unicorn takes time in proportion to a range when it splits it, and most kernels are small and at low addresses.
    """
    return [0, *(1 << power for power in range(20, (size - 1).bit_length())), size]


class CodePages:
    """The pages of one engine: writable, executable or guarded."""

    def __init__(self, uc: Uc, ram: Ram, keep_flags: Callable[[], None]) -> None:
        self._uc = uc
        self._ram = ram
        self._keep_flags = keep_flags
        self._guarded: set[int] = set()
        self._rewritten: set[int] = set()
        """Guarded pages that were written since then, and may now be harmless."""
        self._included: set[int] = set()
        """Pages that are not writable only because they are in another page's block."""
        self.unfetched: set[int] = set()
        """Included pages that were written and can be made writable."""
        self.hidden: list[tuple[int, bytes]] = []
        """Hidden bytes: physical addresses, and the bytes that belong there."""
        self._boundaries: set[int] = set()
        self._edges = Edges()
        self._lifted = False
        self._repeated = range(0)
        """The bytes of a completed store that Unicorn is about to report one by one."""
        self.storing = False
        """True while a store is made."""
        self.refuses_stores = False
        """True while Unicorn must stop before a store, not make it."""
        void, u64 = ctypes.c_void_p, ctypes.c_uint64
        prototype = ctypes.CFUNCTYPE(ctypes.c_bool, void, ctypes.c_int, u64, ctypes.c_int, u64, void)
        self._callbacks = prototype(self._on_fetch), prototype(self._on_store)
        for kind, callback in zip((UC_HOOK_MEM_FETCH_PROT, UC_HOOK_MEM_WRITE_PROT), self._callbacks, strict=True):
            add_hook(uc, kind, callback, within=range(ram.size))
        uc.mem_protect(0, ram.size, UC_PROT_READ | UC_PROT_WRITE)

    def admit(self, page: int) -> bool:
        """Make a physical page executable; False if it already is, is guarded, or is not RAM."""
        if not 0 <= page < self._ram.size:
            return False
        if self._ram.fetched_pages[page // PAGE_SIZE] and page not in self._rewritten:
            return False
        block = self._settle(page)
        self._included.discard(page)
        return block.start not in self._guarded

    def guards(self, page: int) -> bool:
        """Report whether a physical page is guarded."""
        return page in self._guarded

    def look_at_rewritten(self) -> None:
        """Change the permissions of pages that were written, while Unicorn is not running."""
        for where in self._ram.take_rewritten():
            for page in self._hazards(where):
                self._ram.make_stale(self._settle(page, guarded=True))
        for page in sorted(self.unfetched):
            self._make_writable(page)
        self.unfetched.clear()

    def hide_rewritten(self) -> None:
        """Hide from the running Unicorn what was written and looks untranslatable, until `reveal`."""
        for where in self._ram.take_rewritten():
            for page in self._hazards(where):
                self._hide(max(page, where.start - LONGEST), min(page + PAGE_SIZE, where.stop + LONGEST))

    def _hide(self, base: int, end: int) -> None:
        self.hidden.append((base, self._ram.read(base, end - base)))
        ctypes.memset(self._ram.host_address + base, _UNDEFINED_OPCODE, end - base)
        self._ram.make_stale(range(base, end))  # which stops the processor before the next instruction

    def reveal(self) -> None:
        """Put hidden bytes back. Their pages still have to be guarded."""
        while self.hidden:
            base, content = self.hidden.pop()
            ctypes.memmove(self._ram.host_address + base, content, len(content))
            self._ram.changed(base, len(content))

    def _hazards(self, where: range) -> Iterator[int]:
        """Yield pages that look untranslatable since a range was written, and are not guarded."""
        fetched = self._ram.fetched_pages
        index, end = where.start // PAGE_SIZE, (where.stop - 1) // PAGE_SIZE + 1
        while index < end and (index := fetched.find(1, index, end)) >= 0:
            page = index * PAGE_SIZE
            index += 1
            if page in self._guarded:
                self._rewritten.add(page)
            elif self._is_hazard(page, where.start, where.stop):
                yield page

    def _is_hazard(self, page: int, base: int = 0, end: int = 1 << 64) -> bool:
        """Report whether a page looks untranslatable because of a written range in it."""
        first, last = max(page, base - LONGEST), min(page + PAGE_SIZE, end + LONGEST)
        if looks_untranslatable(bytes(self._ram.view[first:last])):
            return True
        if page + LONGEST <= base and end <= page + PAGE_SIZE - LONGEST:
            return False
        read = self._ram.read
        return self._edges.update(page, read(page, LONGEST), read(page + PAGE_SIZE - LONGEST, LONGEST))

    def _settle(self, page: int, *, guarded: bool = False) -> range:
        """Make a page's block executable, or guarded if any page in it must be. Return the block."""
        ram, fetched = self._ram, self._ram.fetched_pages
        size = min(PAGE_SIZE << len(self._boundaries) // _DOUBLE_EVERY, 1 << ram.size.bit_length())
        block = range(page & -size, min((page & -size) + size, ram.size))
        pages = range(block.start, block.stop, PAGE_SIZE)
        for each in pages:
            if (each == page and not guarded) or not fetched[each // PAGE_SIZE]:
                if not fetched[each // PAGE_SIZE]:
                    self._included.add(each)
                fetched[each // PAGE_SIZE] = 1
                guarded = self._is_hazard(each) or guarded
            elif each in self._guarded and each != page:
                guarded = True
        if guarded:
            self._guarded.update(pages)
            if len(pages) == 1:
                self._rewritten.discard(page)
        else:
            self._guarded.difference_update(pages)
        self._rewritten.difference_update(pages)
        self._allow(block, UC_PROT_READ if guarded else UC_PROT_READ | UC_PROT_EXEC)
        return block

    def _allow(self, where: range, permissions: int) -> None:
        self._boundaries.update((where.start, where.stop))
        self._uc.mem_protect(where.start, len(where), permissions)

    @contextmanager
    def lifted(self, opcode_at: int | None) -> Iterator[None]:
        """Let Unicorn translate any page, with the byte at a physical address replaced by an undefined opcode.

        The caller must not execute that byte in any other way, and must drop its translations afterwards.

        Args:
            opcode_at: The physical address of the opcode to replace; None for none.

        Yields:
            Nothing.
        """
        self._lifted = True
        kept = b"" if opcode_at is None else self._ram.read(opcode_at, 1)
        if opcode_at is not None:
            ctypes.memset(self._ram.host_address + opcode_at, _UNDEFINED_OPCODE, 1)
        try:
            yield
        finally:
            if opcode_at is not None:
                ctypes.memmove(self._ram.host_address + opcode_at, kept, 1)
            self._lifted = False

    def _on_fetch(self, _uc: int, _kind: int, _address: int, _size: int, _value: int, _user: int) -> bool:
        return self._lifted

    def _on_store(self, _uc: int, _kind: int, address: int, size: int, value: int, _user: int) -> bool:
        """Make a store to a page that is not writable.

        Unicorn reports a misaligned store, and then each of its bytes in order. The bytes are stored one by one only if
        they are in two pages.

        Returns:
            True for a store that was made.
        """
        if self.refuses_stores:
            return False
        if size == 1 and address in self._repeated:
            self._repeated = range(address + 1, self._repeated.stop)
        elif address % PAGE_SIZE + size <= PAGE_SIZE:
            self._repeated = range(address, address + size) if address & size - 1 else range(0)
            self.reveal()
            self.storing = True
            self._ram.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
            self.storing = False
            self.hide_rewritten()
            page = address & -PAGE_SIZE
            if self._may_be_writable(page):
                self.unfetched.add(page)
                self._ram.make_stale(range(page, page + PAGE_SIZE))  # which stops the processor
        self._keep_flags()
        return True

    def _may_be_writable(self, page: int) -> bool:
        """Report whether a page was never fetched from, and Unicorn has room for a change of its permissions."""
        if page not in self._included or len(self._boundaries) > _FEW_BOUNDARIES:
            return False
        first = page // LINE_SIZE
        return self._ram.code_lines.find(1, first, first + PAGE_SIZE // LINE_SIZE) < 0

    def _make_writable(self, page: int) -> None:
        if not self._may_be_writable(page):
            return
        self._included.discard(page)
        self._guarded.discard(page)
        self._rewritten.discard(page)
        self._edges.forget(page)
        self._ram.fetched_pages[page // PAGE_SIZE] = 0
        self._allow(range(page, page + PAGE_SIZE), UC_PROT_READ | UC_PROT_WRITE)
