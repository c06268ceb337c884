"""Code that makes Unicorn abort when it translates it, and how that is prevented.

LOCK with BT, BTS, BTR or BTC of a register is #UD (SDM volume 2, LOCK). Unicorn aborts the whole process instead, and
does so as soon as it translates the block that contains the instruction. So for Unicorn a page of RAM is either
writable or executable:

* All pages are writable at first. A page that the processor fetches from becomes executable, unless it has bytes that
  look like such an instruction. From then on Unicorn refuses stores to it, and they are made here.
* A page with such bytes is *guarded*: it stays writable, and the processor executes it one instruction at a time, with
  only that one translated (`Cpu._execute_guarded`). The bytes may be harmless: MOV AL, F0H and a bit test look like
  LOCK.

An instruction may cross from any page of RAM to any other, so the end of each page is checked with the start of each.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager

from unicorn import UC_HOOK_MEM_FETCH_PROT, UC_HOOK_MEM_WRITE_PROT, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc

from machine.bus.ram import PAGE_SIZE, Ram
from machine.processor.step_hook import add_hook

_PREFIXES = rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]*"
_LOCK = rb"\xf0" + _PREFIXES
_DEADLY = re.compile(_LOCK + rb"\x0f(?:[\xa3\xab\xb3\xbb][\xc0-\xff]|\xba[\xe0-\xff])")
_BEGUN = re.compile(_LOCK + rb"(?:\x0f[\xa3\xab\xb3\xba\xbb]?)?\Z")
_UP_TO_OPCODE = re.compile(_PREFIXES + _LOCK + rb"\x0f(?=[\xa3\xab\xb3\xbb][\xc0-\xff]|\xba[\xe0-\xff])")
_LONGEST = 15
_UNDEFINED_OPCODE = 0x04


class Untranslatable:
    """The pages of one engine: writable, executable or guarded."""

    def __init__(self, uc: Uc, ram: Ram) -> None:
        self._uc = uc
        self._ram = ram
        self._guarded: set[int] = set()
        self._starts: set[bytes] = set()
        self._ends: set[bytes] = set()
        """The first bytes of fetched pages, and last bytes that may begin such an instruction. None is removed."""
        self._lifted = False
        self.left = False
        """True if a store made an executable page guarded, for which Unicorn may have left its loop."""
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
        fetched = self._ram.fetched_pages
        if fetched[page // PAGE_SIZE] and page not in self._guarded:
            return False
        fetched[page // PAGE_SIZE] = 1
        if self._looks_deadly(page):
            self._guarded.add(page)
            return False
        self._guarded.discard(page)
        self._uc.mem_protect(page, PAGE_SIZE, UC_PROT_READ | UC_PROT_EXEC)
        return True

    def guards(self, page: int) -> bool:
        """Report whether a physical page is guarded."""
        return page in self._guarded

    def look(self, base: int, length: int) -> bool:
        """Guard executable pages of a range just written that look deadly now. Return whether there were any."""
        found = False
        for page in range(base & -PAGE_SIZE, base + length, PAGE_SIZE):
            fetched = self._ram.fetched_pages[page // PAGE_SIZE]
            if fetched and page not in self._guarded and self._looks_deadly(page):
                self._guarded.add(page)
                self._uc.mem_protect(page, PAGE_SIZE, UC_PROT_READ | UC_PROT_WRITE)
                self._ram.make_stale(range(page, page + PAGE_SIZE))
                found = True
        return found

    def _looks_deadly(self, page: int) -> bool:
        code = self._ram.read(page, PAGE_SIZE)
        start, end = code[:_LONGEST], _BEGUN.search(code, PAGE_SIZE - _LONGEST)
        self._starts.add(start)
        joined = [each + start for each in self._ends]
        if end is not None and end[0] not in self._ends:
            self._ends.add(end[0])
            joined += [end[0] + each for each in self._starts]
        return any(map(_DEADLY.search, (code, *joined)))

    @contextmanager
    def lifted(self, opcode_at: int | None) -> Iterator[None]:
        """Let Unicorn translate any page, with the byte at a physical address replaced by an undefined opcode.

        The caller must not execute that byte in any other way, and must drop the translations afterwards.

        Args:
            opcode_at: The physical address of the opcode to replace; None for none.

        Yields:
            Nothing.
        """
        self._lifted = True
        kept = b"" if opcode_at is None else self._ram.read(opcode_at, 1)
        if opcode_at is not None:
            ctypes.memset(self._ram.host_address + opcode_at, _UNDEFINED_OPCODE, 1)
        yield
        if opcode_at is not None:
            ctypes.memmove(self._ram.host_address + opcode_at, kept, 1)
        self._lifted = False

    def _on_fetch(self, _uc: int, _kind: int, _address: int, _size: int, _value: int, _user: int) -> bool:
        return self._lifted

    def _on_store(self, _uc: int, _kind: int, address: int, size: int, value: int, _user: int) -> bool:
        """Make a store to an executable page. Unicorn repeats one that is not aligned byte by byte."""
        if not address & size - 1:
            self._ram.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
            self.left = self.look(address, size) or self.left
        return True


def opcode_to_replace(code: bytes, address: int) -> int | None:
    """Return the address of the opcode of the instruction at `address` if Unicorn would abort on it; else None."""
    found = _UP_TO_OPCODE.match(code)
    return None if found is None else address + found.end()
