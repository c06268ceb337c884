"""Phrases that a native engineer stumbles over are not in the documents. The list can grow."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
INSTEAD = {
    r"attend(s|ed|ing)?": "poll, check",
    r"(give|gives|gave|given|giving) up": "cancel",
    r"(go|goes|gone|going) through": "step through, replay, cover",
    r"told": "reported, given",
    r"tells? (of|that|whether|where|which|how|what)": "say, show, report",
    r"in front of (a|an|any|each|every|that|the) (\w+ )?instruction": "before",
    r"(byte|page|bytes|pages|instruction|instructions) (behind|in front of)|right behind": "after, before",
    r"drawn? up": "make, write",
    r"amid": "during",
    r"one's own": "your own",
    r"(held|hold|holds) against": "compared with",
    r"(stands?|lies?) (behind|in front of)": "follows, precedes",
}
"""Each phrase, as a regular expression of whole words, and what to write."""
ALLOWED: set[tuple[str, str]] = set()
"""Page and phrase, where it is right."""


def found(text: str) -> Iterator[tuple[str, str]]:
    """Find phrases outside of code, each with what to write."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "`code`", text, flags=re.DOTALL)
    for pattern, instead in INSTEAD.items():
        for match in re.finditer(rf"\b({pattern})\b".replace(" ", r"\s+"), prose, re.IGNORECASE):
            yield " ".join(match[0].lower().split()), instead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_document_is_in_plain_words(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    wrong = [(phrase, instead) for phrase, instead in found(page.read_text()) if (name, phrase) not in ALLOWED]
    assert not wrong, "; ".join(f"for {phrase!r} write {instead}" for phrase, instead in wrong)


def test_phrases_are_found_in_prose_and_not_in_code() -> None:
    assert list(found("What was GIVEN\nup. `told`\n```\namid\n```\n")) == [("given up", "cancel")]
