"""Compares the runs of two machines, and tells where they diverge."""

from collections.abc import Sequence

from tests.oracle.image import Image
from tests.oracle.records import Run

_NEIGHBOURS = 3


def difference(image: Image, theirs: Run, ours: Run) -> str:
    """Where our run diverges from theirs: serial line, record or end; empty if they agree."""
    parts = [
        _first("serial line", theirs.lines, ours.lines),
        _first(
            "interrupt",
            [f"{record}  {image.place(record.rip)}" for record in theirs.records],
            [f"{record}  {image.place(record.rip)}" for record in ours.records],
        ),
    ]
    if (theirs.end, theirs.status) != (ours.end, ours.status):
        parts.append(f"the end: QEMU {theirs.end} {theirs.status}, ours {ours.end} {ours.status}")
    return "\n".join(part for part in parts if part)


def _first(what: str, theirs: Sequence[str], ours: Sequence[str]) -> str:
    """The first place where two sequences differ, with its surroundings."""
    pairs = zip(theirs, ours, strict=False)
    at = next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(theirs), len(ours)))
    if at == len(theirs) == len(ours):
        return ""
    lines = [f"{what} {at} differs:"]
    lines += [f"    both  {line}" for line in theirs[max(0, at - _NEIGHBOURS) : at]]
    lines += [f"    QEMU  {line}" for line in theirs[at : at + _NEIGHBOURS]] or ["    QEMU  (nothing more)"]
    lines += [f"    ours  {line}" for line in ours[at : at + _NEIGHBOURS]] or ["    ours  (nothing more)"]
    return "\n".join(lines)
