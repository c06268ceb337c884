"""`python -m tests.oracle.pairs [--all]`: which (opcode, form) pairs have been compared, and with which witness. Adds
up the results of `python -m tests.oracle.enumeration long` and `python -m tests.oracle.protected_programs all`: the
pairs that each witness has decided, those that only the manual decides, and those not compared, with the reason.
`--all` lists each of the latter. Exits with 1 if one of them has no reason, or anything differs.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.oracle.enumeration import __main__ as enumeration
from tests.oracle.protected_programs import __main__ as protected_programs

_WITNESSES = {"host": "the host's processor", "manual": "the manual alone"}
_WITHOUT_REASON = "not yet run"
_SHOWN = 3


def witnesses(raw: Mapping[str, Any]) -> Counter[str]:
    """Count the pairs of one report by witness."""
    found: Counter[str] = Counter()
    for name, count in raw["forms"].items():
        words = name.rpartition(": " if ": " in name else " ")[2]
        found[_WITNESSES.get(words, words)] += count
    return found


def report(reports: Mapping[str, Mapping[str, Any]], *, every: bool) -> str:
    """Return the table as text. `reports` are by the name of the program that made them."""
    lines: list[str] = []
    for name, raw in reports.items():
        counts = witnesses(raw)
        total = counts.total() + len(raw["not_compared"])
        lines.append(f"{name}: {total} pairs, {len(raw['differences'])} kinds of differences")
        lines += [f"  {count:8}  {witness}" for witness, count in counts.most_common()]
        lines += [f"              {count:8}  {reason}" for reason, count in raw.get("by_manual", {}).items()]
        lines.append(f"  {len(raw['not_compared']):8}  not compared")
        reasons: dict[str, list[str]] = {}
        for form, reason in raw["not_compared"].items():
            reasons.setdefault(reason, []).append(form)
        for reason, forms in sorted(reasons.items(), key=lambda each: -len(each[1])):
            lines.append(f"              {len(forms):8}  {reason}")
            shown = forms if every else forms[:_SHOWN]
            lines += [f"                        {form}" for form in shown]
            if len(shown) < len(forms):
                lines.append("                        ...")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the report. Returns the exit code."""
    paths = {"in user mode": enumeration.STATE, "in ring 0 and 16-bit code": protected_programs.STATE}
    reports = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    for name, path in paths.items():
        if name not in reports:
            print(f"{path} is not there: nothing has been compared {name}", file=sys.stderr)
    print(report(reports, every="--all" in arguments))
    unfinished = any(raw["differences"] or _WITHOUT_REASON in raw["not_compared"].values() for raw in reports.values())
    return 1 if unfinished or len(reports) < len(paths) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
