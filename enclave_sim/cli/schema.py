"""`enclave-sim schema`: JSON Schemas of the commands' `--json` output, made from its types."""

import ast
import inspect
import json
import textwrap
from enum import Enum
from typing import Any

import click
import msgspec

from enclave_sim.cli.command import command
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.types import Choice

_GROUPS = ("lab", "sweep", "campaign")
"""Commands of which several print an object."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Output(Enum):
    """The commands whose output has a schema."""

    RUN = "run"
    VERIFY = "verify"
    VERIFY_EVIDENCE = "verify-evidence"
    PROVENANCE = "provenance"
    LIFETIMES = "lifetimes"
    COVERAGE = "coverage"
    SWEEP_INTERRUPTS = "sweep-interrupts"
    LAB_LIST = "lab-list"
    LAB_CHECK = "lab-check"
    LAB_VERIFY = "lab-verify"
    LAB_GRADE = "lab-grade"
    CAMPAIGN_REPORT = "campaign-report"


@command()
@click.argument(
    "output", type=Choice(Output), metavar="COMMAND", help=f"One of {', '.join(one.value for one in Output)}."
)
def schema(output: Output) -> None:
    """Print the JSON Schema of what a command prints with --json.

    Example: enclave-sim schema run > run.schema.json
    """
    write(f"{json.dumps(schema_of(output), indent=2)}\n".encode())


def schema_of(output: Output) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a command's output. Descriptions are those of the types."""
    kinds = _types(output)
    (reference,), definitions = msgspec.json.schema_components(kinds[:1], ref_template="#/$defs/{name}")
    for kind in kinds:
        described = definitions[kind.__name__]
        described["additionalProperties"] = False
        for name, text in _descriptions(kind).items():
            described["properties"][name]["description"] = text
    return {"$schema": _DIALECT, "title": title_of(output), **reference, "$defs": definitions}


def title_of(output: Output) -> str:
    """Return the command line that prints the output."""
    if output is Output.LAB_GRADE:
        return "enclave-sim lab grade --format json"
    group, _, rest = output.value.partition("-")
    return f"enclave-sim {f'{group} {rest}' if group in _GROUPS else output.value} --json"


def _types(output: Output) -> tuple[type, ...]:
    """Return the printed type and its component types."""
    if output is Output.RUN:
        from enclave_sim.recording.outcome import summary  # noqa: PLC0415

        parts = (summary.PhaseSummary, summary.StepSummary, summary.AttestationSummary, summary.ResidueSummary)
        return (summary.RunResult, *parts)
    if output is Output.VERIFY:
        from enclave_sim.guarantees.report import FindingObject, ReportObject, VerificationObject  # noqa: PLC0415

        return VerificationObject, ReportObject, FindingObject
    if output is Output.PROVENANCE:
        from enclave_sim.time_travel.navigation.provenance import objects  # noqa: PLC0415

        places = (objects.PlaceObject, objects.PositionObject, objects.EndingObject)
        return (
            *(objects.ProvenanceObject, objects.ValueObject, objects.OriginObject, objects.SourceObject),
            *(objects.UseObject, *places),
        )
    if output is Output.LIFETIMES:
        from enclave_sim.time_travel.navigation.lifetimes import objects as lifetimes  # noqa: PLC0415
        from enclave_sim.time_travel.navigation.provenance.objects import PlaceObject, PositionObject  # noqa: PLC0415

        return (
            *(lifetimes.LifetimesObject, lifetimes.RowObject, lifetimes.LifetimeObject, lifetimes.MeetingObject),
            *(lifetimes.MakerObject, PlaceObject, PositionObject),
        )
    if output is Output.COVERAGE:
        from enclave_sim.coverage import objects as coverage  # noqa: PLC0415

        return coverage.CoverageObject, coverage.FileObject, coverage.CountObject
    if output is Output.SWEEP_INTERRUPTS:
        from enclave_sim.sweeps import objects as sweeps  # noqa: PLC0415

        return sweeps.SweepObject, sweeps.ClassObject
    if output is Output.CAMPAIGN_REPORT:
        from enclave_sim.campaigns import report  # noqa: PLC0415

        return report.CampaignReport, report.StratumReport, report.OutcomeCount, report.GuaranteeCount
    if output.value.startswith("lab-"):
        return _lab_types(output)
    from enclave_sim.attestation.verdict import CheckObject, VerdictObject  # noqa: PLC0415

    return VerdictObject, CheckObject


def _lab_types(output: Output) -> tuple[type, ...]:
    """Return the same for a command about labs."""
    from enclave_sim.labs import outputs  # noqa: PLC0415
    from enclave_sim.labs.grades import PartStatistics  # noqa: PLC0415
    from enclave_sim.labs.judging import Judgement, PartMark  # noqa: PLC0415

    if output is Output.LAB_LIST:
        return outputs.LabList, outputs.ListedLab
    if output is Output.LAB_VERIFY:
        return (outputs.Verification,)
    if output is Output.LAB_GRADE:
        return outputs.Grades, outputs.GradeObject, PartStatistics, Judgement, PartMark
    return Judgement, PartMark


def _descriptions(kind: type) -> dict[str, str]:
    """Return the docstring below each field."""
    (defined,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(defined, ast.ClassDef)
    found = {}
    for field, below in zip(defined.body, defined.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            found[field.target.id] = " ".join(text.split())
    return found
