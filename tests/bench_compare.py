"""Compares two outputs of `tests/bench.py`: `python tests/bench.py --compare A B`.

Two outputs may be of different hosts, or of one host in different moods. So what is compared is each figure beside its
own reference, which was measured at the same time.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench_entries import Entry

TOLERANCE = 0.1
"""Smaller changes are not told from noise."""


class NotAnOutputError(Exception):
    """A file is not an output of `tests/bench.py`."""


class Change(NamedTuple):
    """One figure in two outputs."""

    name: str
    before: Entry | None
    after: Entry | None

    @property
    def factor(self) -> float | None:
        """How much better the second is: 2 is twice as good; None if there is nothing to compare."""
        if self.before is None or self.after is None or self.before["unit"] != self.after["unit"]:
            return None
        before, after = _relative(self.before), _relative(self.after)
        if not before or not after:
            return None
        return after / before if _more_is_better(self.after) else before / after

    @property
    def verdict(self) -> str:
        """The change in one or two words."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        if self.lost:
            return "target missed now"
        if self.before["met"] is False and self.after["met"]:
            return "target met now"
        factor = self.factor
        if factor is None:
            return "not comparable"
        return "better" if factor > 1 + TOLERANCE else "worse" if factor < 1 / (1 + TOLERANCE) else "the same"

    @property
    def lost(self) -> bool:
        """True if the first met its target, and the second does not."""
        return bool(self.before and self.after and self.before["met"] and self.after["met"] is False)


def _relative(figure: Entry) -> float:
    value, reference = float(figure["value"]), float(figure["reference"]["value"])
    if figure["unit"] == "ratio" or not reference:
        return value
    return value / reference


def _more_is_better(figure: Entry) -> bool:
    if figure["target"] is not None:
        return str(figure["target"]).startswith(">=")
    return "/s" in figure["unit"]


def load(path: Path) -> list[Entry]:
    """Read an output. Raises NotAnOutputError."""
    try:
        content: Any = json.loads(path.read_text())
        results: list[Entry] = content["results"]
        for figure in results:
            _relative(figure)
            _more_is_better(figure)
            (figure["name"], figure["met"])
    except OSError as error:
        raise NotAnOutputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise NotAnOutputError(f"{path} is not an output of tests/bench.py") from None
    return results


def changes(before: list[Entry], after: list[Entry]) -> list[Change]:
    """Pair the figures of two outputs by name, in the order of the second; those that are gone come last."""
    known = {figure["name"]: figure for figure in before}
    found = [Change(figure["name"], known.pop(figure["name"], None), figure) for figure in after]
    return [*found, *(Change(name, figure, None) for name, figure in known.items())]


def table(found: list[Change]) -> str:
    """Return one line for each figure: both values with unit and target, how much better, and the verdict."""
    rows = [("figure", "before", "after", "unit", "target", "better by", "verdict")]
    for change in found:
        shown = change.after or change.before
        assert shown is not None, "a figure is in one output at least"
        values = tuple("-" if figure is None else f"{figure['value']:g}" for figure in (change.before, change.after))
        factor = "-" if change.factor is None else f"{change.factor:.2f}"
        rows.append((change.name, *values, shown["unit"], shown["target"] or "-", factor, change.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def compare(before: Path, after: Path) -> tuple[str, int]:
    """Compare two outputs.

    Returns:
        The table, and the exit status: 1 if a target that the first met is missed by the second.
    """
    found = changes(load(before), load(after))
    return table(found), int(any(change.lost for change in found))
