"""Code that Unicorn dies of when it translates it, and how that is prevented.

LOCK with BT, BTS, BTR or BTC of a register is #UD (SDM volume 2, LOCK). Unicorn aborts the whole process instead, and
not when the instruction is executed but as soon as the block is translated that holds it. So RAM is not executable for
Unicorn, and a hook has it fetch all the same from pages that the processor has fetched from before. At the first fetch
`Untranslatable` looks through the page and replaces the opcode byte of each such instruction by one that is undefined,
too. Whoever reads the code sees that byte. Writes that Unicorn does not make are looked through as they come.

Making the pages executable one by one would cut RAM into as many regions, and each cut takes Unicorn longer.

Left out: a program that stores such an instruction into a page which it has executed before.
"""

import ctypes
import re

from unicorn import UC_HOOK_MEM_FETCH_PROT, UC_PROT_READ, UC_PROT_WRITE, Uc

from machine.native.loading import load
from machine.ram import PAGE_SIZE, Ram
from machine.step_hook import add_hook

_LOCKED_BIT_TEST = re.compile(
    rb"\xf0[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]{0,13}\x0f(?:[\xa3\xab\xb3\xbb][\xc0-\xff]|\xba[\xe0-\xff])",
    re.DOTALL,
)
_UNDEFINED = b"\x04"
"""As an opcode after 0FH."""
_LONGEST = 15


class _Pages(ctypes.Structure):
    """`struct pages` of translation_hook.c."""

    _fields_ = [("fetched", ctypes.c_void_p), ("ram_size", ctypes.c_uint64)]


class Untranslatable:
    """Watches over the pages of one engine from which instructions may be fetched."""

    def __init__(self, uc: Uc, ram: Ram, *, portable: bool) -> None:
        self._ram = ram
        uc.mem_protect(0, ram.size, UC_PROT_READ | UC_PROT_WRITE)
        entries = None if portable else load("translation_hook")
        if entries is not None:
            fetched = ctypes.addressof(ctypes.c_char.from_buffer(ram.fetched_pages))
            self._pages = _Pages(fetched=fetched, ram_size=ram.size)
            add_hook(uc, UC_HOOK_MEM_FETCH_PROT, entries[1], ctypes.byref(self._pages))
        else:
            void, number = ctypes.c_void_p, ctypes.c_int
            prototype = ctypes.CFUNCTYPE(ctypes.c_bool, void, number, ctypes.c_uint64, number, ctypes.c_int64, void)
            self._callback = prototype(self._on_fetch)
            add_hook(uc, UC_HOOK_MEM_FETCH_PROT, self._callback)

    def _on_fetch(self, _uc: int, _kind: int, address: int, _size: int, _value: int, _user: int) -> bool:
        """See `on_fetch` in translation_hook.c."""
        return address < self._ram.size and bool(self._ram.fetched_pages[address // PAGE_SIZE])

    def admit(self, page: int) -> bool:
        """Let instructions be fetched from a physical page; False where they may be already, or where no RAM is."""
        if not 0 <= page < self._ram.size or self._ram.fetched_pages[page // PAGE_SIZE]:
            return False
        self._ram.fetched_pages[page // PAGE_SIZE] = 1
        self.look(page, PAGE_SIZE)
        return True

    def look(self, base: int, length: int) -> None:
        """Replace what Unicorn dies of in a range that was written, or that begins or ends there."""
        start = max(0, base - _LONGEST)
        code = self._ram.read(start, min(self._ram.size, base + length + _LONGEST) - start)
        for found in _LOCKED_BIT_TEST.finditer(code):
            self._ram.write(start + found.end() - 2, _UNDEFINED)
