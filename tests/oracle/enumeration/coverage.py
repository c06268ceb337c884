"""Coverage so far: counts by mode and witness, forms that no other processor decides, and the differences."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.oracle.enumeration.comparison import Difference
from tests.oracle.enumeration.instructions import mnemonic, text
from tests.oracle.enumeration.survey import Judged

_KEPT_OF_A_KIND = 3


@dataclass
class Coverage:
    """Adds up judged cases. `forms` counts (opcode, form) pairs, each once, for the witness that decided it first."""

    forms: Counter[str] = field(default_factory=Counter)
    """By `mode witness`."""
    cases: int = 0
    by_manual: Counter[str] = field(default_factory=Counter)
    """Forms that no other processor has decided, by reason."""
    not_compared: dict[str, str] = field(default_factory=dict)
    """Form and reason."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Cases that differ, by mnemonic and what differs."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The smallest programs of each kind."""

    def add(self, judged: Judged, *, first: bool) -> None:
        """Add one case; `first` means that its form is new."""
        case, _, _, verdict = judged
        name = case.form.name
        self.cases += 1
        if verdict.witness and name in self.not_compared:
            del self.not_compared[name]
            first = True
        if first and verdict.witness:
            self.forms[f"{case.form.mode} {verdict.witness}"] += 1
            if verdict.witness == "manual":
                self.by_manual[verdict.reason] += 1
        elif first:
            self.not_compared[name] = verdict.reason
        if verdict.difference:
            self._differs(judged)

    def _differs(self, judged: Judged) -> None:
        case, _, _, verdict = judged
        kind = f"{mnemonic(case)}: {kind_of(verdict.difference)}"
        self.kinds[kind] += 1
        found = self.examples.setdefault(kind, [])
        found.append(
            {
                "form": case.form.name,
                "variant": case.variant,
                "code": case.program.code[: case.length].hex(),
                "text": text(case),
                "difference": {name: [_shown(one), _shown(other)] for name, (one, other) in verdict.difference.items()},
            }
        )
        found.sort(key=lambda one: (len(one["code"]), one["variant"]))
        del found[_KEPT_OF_A_KIND:]

    def as_json(self) -> dict[str, Any]:
        return {
            "forms": dict(sorted(self.forms.items())),
            "cases": self.cases,
            "by_manual": dict(self.by_manual.most_common()),
            "not_compared": self.not_compared,
            "differences": [
                {"kind": kind, "cases": count, "examples": self.examples[kind]}
                for kind, count in self.kinds.most_common()
            ],
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Coverage":
        """The inverse of `as_json`."""
        kinds = Counter({one["kind"]: one["cases"] for one in raw["differences"]})
        examples = {one["kind"]: one["examples"] for one in raw["differences"]}
        by_manual = Counter(raw.get("by_manual", {}))
        return cls(Counter(raw["forms"]), raw["cases"], by_manual, raw["not_compared"], kinds, examples)

    def report(self) -> str:
        """Return the report as text."""
        lines = [f"{self.cases} cases; (opcode, form) pairs by mode and witness:"]
        lines += [f"  {count:8}  {name}" for name, count in sorted(self.forms.items())]
        lines.append(f"  {len(self.not_compared):8}  not compared")
        reasons = Counter(self.not_compared.values())
        for reason, count in reasons.most_common():
            names = [name for name, given in self.not_compared.items() if given == reason]
            lines.append(f"    {count:6}  {reason}: {', '.join(names[:4])}{' ...' if count > len(names[:4]) else ''}")
        lines.append(f"{sum(self.kinds.values())} cases differ, in {len(self.kinds)} ways")
        for kind, count in self.kinds.most_common():
            lines.append(f"  {count:6}  {kind}")
            lines += [f"          {shown(one)}" for one in self.examples[kind]]
        return "\n".join(lines)

    def save(self, path: Path, position: dict[str, int]) -> None:
        """Write a state file atomically."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"position": position, **self.as_json()}))
        temporary.replace(path)


def kind_of(difference: Difference) -> str:
    """The differing fields, without values."""
    if "end" in difference:
        theirs, mine = difference["end"]
        return f"{theirs} expected, {mine} here"
    names = {name.rstrip("0123456789") if name.startswith(("ST", "XMM")) else name for name in difference}
    return ", ".join(sorted(names))


def shown(example: dict[str, Any]) -> str:
    """One line of an example."""
    values = "; ".join(f"{name} {one} expected, {other} here" for name, (one, other) in example["difference"].items())
    return f"[{example['form']}] {example['variant']}: {example['code']} `{example['text']}` {values}"


def _shown(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)
