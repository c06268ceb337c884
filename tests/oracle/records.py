"""Records of a run in QEMU's terms, which both machines report, for comparison.

QEMU writes one line for each attempt to deliver an interrupt or exception (`do_interrupt_all` in
target/i386/tcg/seg_helper.c): the vector, the error code or 0, whether an INT instruction asked for it, the
privilege level, and RIP before delivery. For INT n, INT3 and INTO that is the instruction itself, for a
fault the instruction that faulted, for a trap or an external interrupt the next one. A failed delivery is followed by
the line of the exception that replaces it.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

PF = 14
End = Literal["exit", "shutdown", "halted", "limit"]


@dataclass(frozen=True)
class Record:
    """One attempt to deliver."""

    vector: int
    error_code: int
    software: bool
    """Caused by INT n, INT3 or INTO."""
    ring: int
    """The privilege level before delivery."""
    rip: int
    """Address of the instruction for INT n, INT3, INTO and faults; of the next one for traps and external
    interrupts."""
    cr2: int | None = None
    """For page faults."""

    def __str__(self) -> str:
        flag = " software" if self.software else ""
        address = "" if self.cr2 is None else f" cr2={self.cr2:#x}"
        return f"v={self.vector:02x} e={self.error_code:04x} cpl={self.ring} rip={self.rip:#x}{address}{flag}"


@dataclass(frozen=True)
class Run:
    """What a machine did with an image."""

    serial: bytes
    records: tuple[Record, ...]
    end: End
    """`exit`: by the debug-exit device; `shutdown`: triple fault; `halted`: for good; `limit`: gave up waiting."""
    status: int | None = None
    """The exit status, value * 2 + 1."""
    memory: bytes | None = field(default=None, repr=False)
    """All of RAM at the end, if requested."""

    @property
    def lines(self) -> list[str]:
        """Serial output, line by line."""
        return self.serial.decode("latin-1").splitlines()


def normalised(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """QEMU's records with the manual's error codes for failed INT n instructions.

    QEMU 7.2 computes `n*16+2` in long mode where the manual (SDM volume 3, 6.13) and later versions say `n*8+2`.
    Only a record with exactly that number directly after an INT n at the same place is changed.
    """
    result = list(records)
    for index, (first, second) in enumerate(pairwise(records)):
        failed = first.software and not second.software and second.rip == first.rip and second.vector in (11, 13)
        if failed and second.error_code == first.vector * 16 + 2:
            result[index + 1] = replace(second, error_code=first.vector * 8 + 2)
    return tuple(result)
