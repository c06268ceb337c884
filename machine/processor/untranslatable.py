"""Recognition of code on which Unicorn aborts when it translates it.

LOCK with BT, BTS, BTR or BTC of a register is #UD (SDM volume 2, LOCK). Unicorn instead aborts the whole process as
soon as it translates a block that contains the instruction. code_pages.py prevents that.
"""

import re
from collections.abc import Iterator

LONGEST = 15
"""Length of the longest instruction in bytes."""
_PREFIXES = rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]*"
_LOCK = rb"\xf0" + _PREFIXES
_BIT_TEST = rb"(?:[\xa3\xab\xb3\xbb][\xc0-\xff]|\xba[\xe0-\xff])"
_WHOLE = re.compile(_LOCK + rb"\x0f" + _BIT_TEST)
_UP_TO_OPCODE = re.compile(_PREFIXES + _LOCK + rb"\x0f(?=" + _BIT_TEST + rb")")
_CUTS = (
    (re.compile(_LOCK + rb"\Z"), re.compile(_PREFIXES + rb"\x0f" + _BIT_TEST)),
    (re.compile(_LOCK + rb"\x0f\Z"), re.compile(_BIT_TEST)),
    (re.compile(_LOCK + rb"\x0f[\xa3\xab\xb3\xbb]\Z"), re.compile(rb"[\xc0-\xff]")),
    (re.compile(_LOCK + rb"\x0f\xba\Z"), re.compile(rb"[\xe0-\xff]")),
)
"""Ways to split such an instruction between the end of one page and the start of another."""


def looks_untranslatable(code: bytes) -> bool:
    """Return whether `code` contains the bytes of such an instruction, even as part of harmless ones."""
    return _WHOLE.search(code) is not None


def opcode_to_replace(code: bytes, address: int) -> int | None:
    """Return the address of the opcode of the instruction at `address` if Unicorn would abort on it; else None."""
    found = _UP_TO_OPCODE.match(code)
    return None if found is None else address + found.end()


class Edges:
    """Ends and starts of pages that, joined, would be such an instruction. It may cross from any page to any other."""

    def __init__(self) -> None:
        self._ends: tuple[set[int], ...] = tuple(set() for _ in _CUTS)
        self._starts: tuple[set[int], ...] = tuple(set() for _ in _CUTS)

    def update(self, page: int, start: bytes, end: bytes) -> bool:
        """Note the first and last bytes of a page. Return whether they match the end or start of any noted page."""
        fits = False
        for (begins, goes_on), ends, starts in zip(_CUTS, self._ends, self._starts, strict=True):
            for pages, found in ((ends, begins.search(end)), (starts, goes_on.match(start))):
                if found:
                    pages.add(page)
                else:
                    pages.discard(page)
            fits = fits or bool(starts and page in ends) or bool(ends and page in starts)
        return fits

    def forget(self, page: int) -> None:
        """Forget a page from which no code is fetched now."""
        for pages in self._all():
            pages.discard(page)

    def _all(self) -> Iterator[set[int]]:
        yield from self._ends
        yield from self._starts
