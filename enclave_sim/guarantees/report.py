"""Guarantee reports: the result, the checks made, and the evidence of violations."""

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from typing import Any, TypedDict

from enclave_sim.errors import EnclaveError
from enclave_sim.recording.hex_lines import hex_lines
from enclave_sim.recording.text import printable

_SHOWN = 10


class FindingObject(TypedDict):
    """One violation of a guarantee, as plain values."""

    what: str
    """One line."""
    at_ns: int | None
    """Virtual time of the violation in ns, or null."""
    evidence: list[str]
    """Lines that show it."""


class ReportObject(TypedDict):
    """The result of one guarantee, as plain values."""

    guarantee: str
    """Its name, such as `zero-trace`."""
    holds: bool
    no_evidence: str
    """Why the runs show nothing about it, so that it neither holds nor is broken; else empty."""
    looked_at: dict[str, int | str]
    """Counts of what was checked, and measured values: a number, or text for a range.

    Names that end in `ns` are of virtual nanoseconds.
    """
    findings: list[FindingObject]
    """The violations; empty if it holds."""


class VerificationObject(TypedDict):
    """The results of all guarantees, as plain values."""

    payloads: list[str]
    """The payloads as the command line names them."""
    holds: bool
    """Every guarantee holds; of a rejected payload those for which its runs are evidence."""
    guarantees: list[ReportObject]


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation of a guarantee."""

    what: str
    """One line."""
    at_ns: int | None = None
    """Virtual time of the violation in ns, if it has one."""
    evidence: tuple[str, ...] = ()
    """Lines of evidence: events, bytes, addresses with symbols."""

    def lines(self) -> list[str]:
        """Format the finding for people.

        Returns:
            The first line, then the evidence, indented.
        """
        when = "" if self.at_ns is None else f" (at {self.at_ns} ns)"
        return [self.what + when, *(f"    {line}" for line in self.evidence)]


class GuaranteeBroken(EnclaveError, AssertionError):  # noqa: N818 - reads better in the output of a test
    """A guarantee was asserted and does not hold. The text is the report.

    Args:
        report: The report, which is kept as `report`.
    """

    def __init__(self, report: "Report") -> None:
        super().__init__(str(report))
        self.report = report


class NoEvidence(GuaranteeBroken):
    """A guarantee was asserted of runs that show nothing about it. The text is the report.

    Args:
        report: The report, which is kept as `report`.
    """


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The result of one guarantee, for some runs. `str` formats it for people."""

    guarantee: str
    findings: tuple[Finding, ...]
    looked_at: dict[str, Any] = field(default_factory=dict)
    """Numbers of checks by kind, and measured values."""
    picture: tuple[str, ...] = ()
    """Lines of a picture, such as a histogram."""
    no_evidence: str = ""
    """Why the runs show nothing, if they do not: then it neither holds nor is broken. Ignored if there are findings."""

    @property
    def holds(self) -> bool:
        """True if there is no finding, and there is evidence."""
        return not self.findings and not self.no_evidence

    @property
    def verdict(self) -> str:
        """One of `holds`, `BROKEN` and `NO EVIDENCE`."""
        return "BROKEN" if self.findings else "NO EVIDENCE" if self.no_evidence else "holds"

    def check(self) -> "Report":
        """Assert that the guarantee holds.

        Returns:
            This report.

        Raises:
            GuaranteeBroken: It does not hold.
            NoEvidence: The runs show nothing about it. It is a GuaranteeBroken.
        """
        __tracebackhide__ = True  # pytest then shows the caller's line and the report
        if not self.holds:
            raise GuaranteeBroken(self) if self.findings else NoEvidence(self)
        return self

    def __str__(self) -> str:
        looked = ", ".join(f"{name} {value}" for name, value in self.looked_at.items())
        lines = [f"{self.guarantee}: {self.verdict} ({looked})"]
        lines += [f"  {self.no_evidence}"] if self.verdict == "NO EVIDENCE" else []
        different = Counter(self.findings)  # several runs of one scenario find the same
        for finding, times in islice(different.items(), _SHOWN):
            first, *evidence = finding.lines()
            lines += [f"  {first}{f', {times} times' if times > 1 else ''}", *(f"  {line}" for line in evidence)]
        if len(different) > _SHOWN:
            lines.append(f"  and {len(different) - _SHOWN} more")
        return "\n".join([*lines, *(f"  {line}" for line in self.picture)])

    def __repr__(self) -> str:
        return f"<Report {str(self).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        """Return the view in a notebook: what was checked, and the findings."""
        from enclave_sim.recording.html_elements import element  # noqa: PLC0415 - only a notebook needs it

        rows = [("verdict", self.verdict)]
        rows += [(name, f"{one:,}" if isinstance(one, int) else str(one)) for name, one in self.looked_at.items()]
        lines = [escape(printable(line)) for line in str(self).splitlines()[1:]]
        return element(self.guarantee, rows, *(["<pre>" + "\n".join(lines) + "</pre>"] if lines else []))

    def to_dict(self) -> ReportObject:
        """Convert the report to plain values, for JSON.

        Returns:
            `guarantee`, `holds`, `no_evidence`, `looked_at`, and `findings`, each with `what`, `at_ns` and `evidence`.
        """
        return {
            "guarantee": self.guarantee,
            "holds": self.holds,
            "no_evidence": "" if self.findings else self.no_evidence,
            "looked_at": self.looked_at,
            "findings": [{"what": f.what, "at_ns": f.at_ns, "evidence": list(f.evidence)} for f in self.findings],
        }


def hex_dump(base: int, data: bytes, most: int = 64) -> tuple[str, ...]:
    """Return the lines of a hex dump of the first `most` bytes, and one with the number of bytes left out."""
    lines = [f"0x{line}" for line in hex_lines(base, data[:most])]
    if len(data) > most:
        lines.append(f"... {len(data) - most} bytes more")
    return tuple(lines)
