"""Every name of the enclave's vocabulary in the code is in the glossary, or in the table of its page."""

import inspect
import re
import typing
from pathlib import Path

import pytest

from enclave_sim import guarantees
from enclave_sim.cli.exit_codes import _OF_OUTCOME, ExitCode
from enclave_sim.events import KINDS
from enclave_sim.guarantees import Report
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.recording.outcome.summary import KERNEL_STOPPED
from enclave_sim.specification import Cause, Phase, Status, Step
from machine.machine import Outcome

DOCS = Path(__file__).parents[1] / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text("utf-8")
ENTRY = re.compile(r"^\* \*\*(.+?)\*\*: (.+(?:\n  .+)*)", re.MULTILINE)
ENTRIES = dict(ENTRY.findall(GLOSSARY.partition("\n## ")[2]))
"""Terms, and their definitions."""


def _judges() -> list[str]:
    functions = inspect.getmembers(guarantees, inspect.isfunction)
    return [name for name, function in functions if typing.get_type_hints(function).get("return") is Report]


def _names_in_tables(page: str) -> set[str]:
    rows = re.findall(r"^\|.*$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"\b\w+\b", row)}


@pytest.mark.parametrize(
    ("names", "page"),
    [
        ([*(phase.name for phase in Phase), "DORMANT"], None),
        ([phase.target_state for phase in Phase], None),
        ([step.name for step in Step], None),
        ([step.name for step in Step], "memory-map.md"),
        ([cause.name for cause in Cause], "memory-map.md"),
        ([str(flag.name) for flag in Status], "memory-map.md"),
        ([check.name for check in PayloadCheck], "payloads.md"),
        (list(KINDS), "recordings.md"),
        (_judges(), None),
        (_judges(), "guarantees.md"),
        ([name for name in _OF_OUTCOME if name not in Cause.__members__], None),
    ],
)
def test_every_name_is_explained(names: list[str], page: str | None) -> None:
    assert names
    explained = ENTRIES.keys() if page is None else _names_in_tables(page)
    assert [name for name in names if name not in explained] == [], f"add these to docs/{page or 'glossary.md'}"


def test_the_readme_lists_every_exit_code() -> None:
    section = (DOCS.parent / "README.md").read_text("utf-8").partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == sorted(ExitCode)


def test_the_outcomes_are_named_together() -> None:
    assert KERNEL_STOPPED in _OF_OUTCOME
    outcomes = [*(name for name in _OF_OUTCOME if name not in Cause.__members__), *(one.name for one in Outcome)]
    assert [name for name in outcomes if f"`{name}`" not in ENTRIES["outcome"]] == []


def test_terms_are_in_alphabetical_order_and_each_has_a_page_and_a_file() -> None:
    terms = list(ENTRIES)
    assert len(terms) > 100
    assert terms == sorted(terms, key=lambda term: re.sub(r"[^a-z0-9]", "", term.casefold()))
    assert [term for term, text in ENTRIES.items() if not re.search(r"\]\(\S+\.md[^)]*\),\s+`\S+[/.]\S*`$", text)] == []


def test_every_section_that_is_linked_to_exists() -> None:
    for page, section in re.findall(r"\]\((\S+?\.md)#([\w-]+)\)", GLOSSARY):
        headings = re.findall(r"^#+ (.*)$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert section in anchors, (page, section)
