"""Coverage of code: which instructions of a range have begun, and from where control came to them.

Native code notes most of it (native/coverage.h), at almost no cost; Python notes the instructions that it executes
itself. What the machine executes, and when, does not change.
"""

import ctypes
from collections.abc import Iterable
from enum import IntFlag

from machine.errors import MachineError

LARGEST = 1 << 28
"""The largest range, in bytes: there is a byte of host memory for each."""
_CAPACITY = 1 << 17
_UNKNOWN = 2**64 - 1


class Mark(IntFlag):
    """Notes about the instruction at an address (coverage.h)."""

    BEGUN = 1
    """It has begun at least once, whether or not it completed."""
    IN_SEQUENCE = 2
    """At least once control came from the instruction that ends at its address."""


class _Native(ctypes.Structure):
    """`struct coverage` of coverage.h."""

    _fields_ = [
        ("marks", ctypes.c_void_p),
        *[(name, ctypes.c_uint64) for name in ("base", "size", "next", "entered")],
        *[(name, ctypes.c_void_p) for name in ("transfers", "index")],
        *[(name, ctypes.c_uint64) for name in ("capacity", "used", "lost")],
    ]
    next: int
    entered: int
    used: int
    lost: int


class CodeCoverage:
    """The coverage of one machine's code.

    Args:
        where: The linear addresses to cover; code elsewhere is ignored.

    Raises:
        MachineError: The range is empty or too large.
    """

    def __init__(self, where: range) -> None:
        if not 0 < len(where) <= LARGEST:
            raise MachineError(f"coverage of {len(where):,} bytes of code; it must be 1 to {LARGEST:,}")
        self.where = where
        self.marks = bytearray(len(where))
        """A `Mark` for each address of the range."""
        self._transfers = (ctypes.c_uint64 * _CAPACITY)()  # pairs: half as many transfers
        self._index = (ctypes.c_uint32 * _CAPACITY)()
        self._apart: dict[tuple[int, int], None] = {}
        self._native = _Native(
            marks=ctypes.addressof(ctypes.c_char.from_buffer(self.marks)),
            base=where.start,
            size=len(where),
            next=_UNKNOWN,
            entered=_UNKNOWN,
            transfers=ctypes.addressof(self._transfers),
            index=ctypes.addressof(self._index),
            capacity=_CAPACITY,
        )

    @property
    def address(self) -> int:
        """The host address of what native code fills."""
        return ctypes.addressof(self._native)

    @property
    def transfers(self) -> Iterable[tuple[int, int]]:
        """The transfers of control within the range to an instruction that does not follow, each once.

        Each is a pair of linear addresses of instructions. Entries of interrupt handlers are not among them, but for
        those of INT n that native code has delivered.
        """
        pairs = self._transfers[: 2 * self._native.used]
        return {**dict.fromkeys(zip(pairs[::2], pairs[1::2], strict=True)), **self._apart}

    @property
    def count(self) -> int:
        """The number of transfers noted so far; a transfer may count twice."""
        return self._native.used + len(self._apart)

    @property
    def lost(self) -> int:
        """The number of transfers for which there was no place: more than 65,536 different ones."""
        return self._native.lost

    def begin(self, last: int, address: int) -> None:
        """Note that an instruction begins after another one, both given by their linear addresses."""
        native = self._native
        if address in self.where:
            self.marks[address - self.where.start] |= Mark.BEGUN
            if address == native.next:
                self.marks[address - self.where.start] |= Mark.IN_SEQUENCE
            elif address == native.entered:
                native.entered = _UNKNOWN
            elif last in self.where:
                self._apart[last, address] = None
        native.next = _UNKNOWN

    def end(self, address: int) -> None:
        """Note the end of the instruction that has begun last: the linear address after it."""
        self._native.next = address

    def enter(self, handler: int) -> None:
        """Note that an interrupt leads to a handler, not a transfer by an instruction."""
        self._native.entered = handler

    def resume(self) -> None:
        """Note that another state has been loaded: what begins next does not follow what began last."""
        self._native.next = self._native.entered = _UNKNOWN
