"""Code that Unicorn dies of when it translates it, and how that is prevented.

LOCK with BT, BTS, BTR or BTC of a register is #UD (SDM volume 2, LOCK). Unicorn aborts the whole process instead, and
not when the instruction is executed but as soon as the block is translated that holds it. So no page is executable for
Unicorn until the processor first fetches from it; then `Untranslatable` looks through it and replaces the opcode byte
of each such instruction by one that is undefined, too. Whoever reads the code sees that byte. Writes that Unicorn does
not make are looked through as they come.

What looks like LOCK may be the last byte of the instruction before, as in MOV AL, F0H. Then the bit test is good: it
raises #UD without LOCK, `original` finds out what it was, and the machine executes it.

Left out: a program that stores such an instruction into a page which it has executed before, or that has LOCK at the
end of one page and the bit test in another that does not follow it in physical memory.
"""

import re

from unicorn import UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc

from machine.ram import PAGE_SIZE, Ram

_LOCKED_BIT_TEST = re.compile(
    rb"\xf0[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]{0,13}\x0f(?:[\xa3\xab\xb3\xbb][\xc0-\xff]|\xba[\xe0-\xff])",
    re.DOTALL,
)
_REPLACEMENTS = {0xA3: 0x04, 0xAB: 0x0A, 0xB3: 0x0C, 0xBB: 0x36, 0xBA: 0x39}
"""Undefined opcodes after 0FH, by those that they stand for."""
_ORIGINALS = {replacement: opcode for opcode, replacement in _REPLACEMENTS.items()}
_REPLACED = re.compile(
    rb"\xf0[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]{0,13}\x0f[\x04\x0a\x0c\x36\x39]\Z", re.DOTALL
)
_PREFIXES = re.compile(rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf2\xf3]*\x0f(?=[\x04\x0a\x0c\x36\x39][\xc0-\xff])")
"""Up to the opcode of a bit test without LOCK that was replaced."""
_LONGEST = 15


class Untranslatable:
    """Watches over the pages of one engine from which instructions may be fetched."""

    def __init__(self, uc: Uc, ram: Ram) -> None:
        self._uc = uc
        self._ram = ram
        uc.mem_protect(0, ram.size, UC_PROT_READ | UC_PROT_WRITE)

    def admit(self, page: int) -> bool:
        """Make a physical page executable; False where it is that already, or no RAM."""
        if not 0 <= page < self._ram.size or self._ram.fetched_pages[page // PAGE_SIZE]:
            return False
        self._ram.fetched_pages[page // PAGE_SIZE] = 1
        self.look(page, PAGE_SIZE)
        self._uc.mem_protect(page, PAGE_SIZE, UC_PROT_READ | UC_PROT_WRITE | UC_PROT_EXEC)
        return True

    def look(self, base: int, length: int) -> None:
        """Replace what Unicorn dies of in a range that was written, or that begins or ends there."""
        start = max(0, base - _LONGEST)
        code = self._ram.read(start, min(self._ram.size, base + length + _LONGEST) - start)
        for found in _LOCKED_BIT_TEST.finditer(code):
            at = found.end() - 2
            self._ram.write(start + at, bytes([_REPLACEMENTS[code[at]]]))

    def original(self, code: bytes, physical: int) -> bytes | None:
        """The code of an instruction at a physical address before it was replaced; None if it was not, or has LOCK."""
        begin = _PREFIXES.match(code)
        if begin is None:
            return None
        at = begin.end()
        end = min(self._ram.size, physical + at + 1)
        if not _REPLACED.search(self._ram.read(max(0, end - _LONGEST - 1), end - max(0, end - _LONGEST - 1))):
            return None
        return code[:at] + bytes([_ORIGINALS[code[at]]]) + code[at + 1 :]
