"""Code that Unicorn dies of when it translates it, and how that is prevented.

LOCK with BT, BTS, BTR or BTC of a register is #UD (SDM volume 2, LOCK). Unicorn aborts the whole process instead, and
not when the instruction is executed but as soon as the block is translated that holds it. So for Unicorn a page of RAM
is either writable or executable:

* All are writable at first. A page that the processor fetches from becomes executable, unless there are bytes in it
  that look like such an instruction. Stores to it are made here from then on, which Unicorn refuses.
* A page with such bytes is *guarded*: it stays writable, and the processor executes it instruction by instruction, with
  only that one translated (`Cpu._execute_guarded`). They may be harmless: MOV AL, F0H and a bit test look like LOCK.

An instruction may lie in two pages, anywhere in RAM: so the end of each page is compared with the start of each.
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
    """Watches over the pages of one engine from which instructions may be fetched."""

    def __init__(self, uc: Uc, ram: Ram) -> None:
        self._uc = uc
        self._ram = ram
        self._guarded: set[int] = set()
        self._starts: set[bytes] = set()
        self._ends: set[bytes] = set()
        """First bytes of fetched pages, and last ones with which such an instruction may begin; none is removed."""
        self._lifted = False
        self.left = False
        """A store has taken from a page that it may be executed, and Unicorn may have left its loop for that."""
        void, u64 = ctypes.c_void_p, ctypes.c_uint64
        prototype = ctypes.CFUNCTYPE(ctypes.c_bool, void, ctypes.c_int, u64, ctypes.c_int, u64, void)
        self._callbacks = prototype(self._on_fetch), prototype(self._on_store)
        for kind, callback in zip((UC_HOOK_MEM_FETCH_PROT, UC_HOOK_MEM_WRITE_PROT), self._callbacks, strict=True):
            add_hook(uc, kind, callback, within=range(ram.size))
        uc.mem_protect(0, ram.size, UC_PROT_READ | UC_PROT_WRITE)

    def admit(self, page: int) -> bool:
        """Make a physical page executable; False where it is that already, is guarded, or no RAM."""
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
        """Guard the executable pages of a range that was written if they look deadly now; whether any does."""
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
        """Let Unicorn translate anything meanwhile. The byte at a physical address is replaced by an undefined opcode.

        The caller sees to it that what stands there is not executed otherwise, and drops what is translated.
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
        """Store to an executable page. One that is not aligned comes again byte by byte."""
        if not address & size - 1:
            self._ram.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
            self.left = self.look(address, size) or self.left
        return True


def opcode_to_replace(code: bytes, address: int) -> int | None:
    """Return where the opcode is of the instruction at an address, if Unicorn dies of it; else None."""
    found = _UP_TO_OPCODE.match(code)
    return None if found is None else address + found.end()
