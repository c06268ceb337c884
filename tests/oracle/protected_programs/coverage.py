"""Coverage: (opcode, form) pairs by place and witness, those not compared and why, and differences."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.enumeration.instructions import text
from tests.oracle.protected_programs.batch import Ended
from tests.oracle.protected_programs.forms import all_forms
from tests.oracle.protected_programs.verdict import Verdict

_MAX_SHOWN = 4


@dataclass
class Coverage:
    """Adds up judged programs. A form counts once, for the witnesses that agreed with us about its first program."""

    forms: Counter[str] = field(default_factory=Counter)
    """By place and witnesses."""
    cases: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    """Programs about which a witness is wrong, or both are right."""
    differences: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    open: dict[str, str] = field(default_factory=dict)
    """Forms whose first program ends differently on each witness, and why that is allowed."""

    def add(self, ended: Ended, verdict: Verdict) -> None:
        """Add one program."""
        form = ended.case.form
        self.cases += 1
        if form.name not in self.seen and verdict.witnesses:
            self.seen.add(form.name)
            self.forms[f"{form.place.name}: {', '.join(verdict.witnesses)}"] += 1
        if not verdict.witnesses and verdict.excuses:
            self.open[form.name] = f"{verdict.excuses[0].what}: {verdict.excuses[0].manual}"
        for excuse in verdict.excuses:
            self.excused[f"{excuse.wrong}: {excuse.what}; {excuse.manual}"] += 1
        if verdict.difference:
            self.differences.append(described(ended, verdict))

    def as_json(self) -> dict[str, Any]:
        return {
            "forms": dict(sorted(self.forms.items())),
            "cases": self.cases,
            "not_compared": self.not_compared(),
            "excused": dict(self.excused.most_common()),
            "differences": self.differences,
        }

    def not_compared(self) -> dict[str, str]:
        """Forms that no witness has decided, and why."""
        reasons = ((form.name, reason or self.open.get(form.name, "not yet run")) for form, reason in all_forms())
        return {name: reason for name, reason in reasons if name not in self.seen}

    def report(self) -> str:
        """Return the report as text."""
        lines = [f"{self.cases} cases; (opcode, form) pairs by place and witness:"]
        lines += [f"  {count:8}  {name}" for name, count in sorted(self.forms.items())]
        missing = self.not_compared()
        lines.append(f"  {len(missing):8}  not compared")
        for reason, count in Counter(missing.values()).most_common():
            names = [name for name, given in missing.items() if given == reason][:_MAX_SHOWN]
            lines.append(f"    {count:6}  {reason}: {', '.join(names)}{' ...' if count > len(names) else ''}")
        lines.append(f"{self.excused.total()} cases in which the witnesses part:")
        lines += [f"  {count:6}  {what}" for what, count in self.excused.most_common()]
        lines.append(f"{len(self.differences)} cases differ")
        return "\n".join(lines + self.differences)


def described(ended: Ended, verdict: Verdict) -> str:
    """One difference, with all that is needed to reproduce it."""
    case = ended.case
    values = (
        f"{name}: QEMU {one & 0xFFFF_FFFF:#x}, Bochs {other & 0xFFFF_FFFF:#x}, ours {mine & 0xFFFF_FFFF:#x}"
        for name, (one, other, mine) in list(verdict.difference.items())[:_MAX_SHOWN]
    )
    return f"[{case.form.name}] {case.variant}: {case.code.hex()} `{text(case.as_case)}` {'; '.join(values)}"
