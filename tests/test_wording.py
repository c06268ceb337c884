"""Documents, docstrings and comments contain no phrases that a native engineer would not write. The lists can grow."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = ("machine", "enclave_sim", "firmware", "payloads")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
C_SOURCES = sorted(
    path for package in PACKAGES for ending in ("c", "h", "S") for path in (ROOT / package).rglob(f"*.{ending}")
)
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
    r"anew": "again, re-",
    r"for ever": "forever",
    r"(it|this|that|which|answer|output|file) (is|are) no (?!longer|more)\w+": "is not a",
    r"merely": "only",
    r"now and then": "occasionally",
    r"of (its|their) own accord": "automatically",
    r"seldom": "rarely",
    r"vanish(es|ed|ing)?": "is removed, is lost",
    r"what is left": "the rest",
}
"""Each phrase, as a regular expression of whole words, and what to write."""
INSTEAD_IN_CODE = INSTEAD | {r"in front of": "before", r"behind": "after", r"wants?": "needs, expects, asks for"}
"""Phrases sometimes right on a page, but not in code."""
IN_ERRORS = re.compile(
    r"\bright (is|are)\b|(?<!there )\bis no (?!longer|more)\w+|\bany more\b|\b(any|some)body\b|\bno more are\b|"
    r"^: (is|has|holds)\b",
    re.IGNORECASE,
)
"""Phrases that no error has: write expected, is not a, no longer, anyone, is the maximum;
FILE is empty, or FILE: it is empty."""
FIRST_WORDS = re.compile(r"(What|Whether|Where|How|That|Which|Whose|Who)\b")
"""A docstring begins with a verb or a noun."""
ALLOWED: set[tuple[str, str]] = set()
"""Pages and phrases that are right there."""


def found(text: str, phrases: dict[str, str] = INSTEAD) -> Iterator[tuple[str, str]]:
    """Find phrases outside code, each with its replacement."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "`code`", text, flags=re.DOTALL)
    for pattern, instead in phrases.items():
        for match in re.finditer(rf"\b({pattern})\b".replace(" ", r"\s+"), prose, re.IGNORECASE):
            yield " ".join(match[0].lower().split()), instead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_document_is_in_plain_words(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    wrong = [(phrase, instead) for phrase, instead in found(page.read_text()) if (name, phrase) not in ALLOWED]
    assert not wrong, "; ".join(f"for {phrase!r} write {instead}" for phrase, instead in wrong)


def docstrings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the docstrings of modules, classes, functions and attributes: expressions that are only a string."""
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def errors(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the texts in the errors that a module raises."""
    for node in nodes:
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def comments(source: str) -> str:
    """Return all comments, with consecutive ones joined."""
    if "#" not in source:
        return ""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return " ".join(token.string.lstrip("#") for token in tokens if token.type == tokenize.COMMENT)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_and_its_errors_are_in_plain_words(module: Path) -> None:
    source = module.read_text()
    name = module.relative_to(ROOT).as_posix()
    nodes = list(ast.walk(ast.parse(source)))
    texts = list(docstrings(nodes))
    wrong = [
        f"for {phrase!r} write {instead}"
        for text in [*texts, comments(source)]
        for phrase, instead in found(text, INSTEAD_IN_CODE)
        if (name, phrase) not in ALLOWED
    ]
    wrong += [f"begin with a verb or a noun: {text.splitlines()[0]!r}" for text in texts if FIRST_WORDS.match(text)]
    wrong += [f"write errors otherwise: {text!r}" for text in errors(nodes) if IN_ERRORS.search(text)]
    assert not wrong, "; ".join(wrong)


@pytest.mark.parametrize("path", C_SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_source_in_c_or_assembly_is_in_plain_words(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    text = " ".join(re.findall(r"/\*.*?\*/|//[^\n]*|^\s*#\s[^\n]*", path.read_text(), re.DOTALL | re.MULTILINE))
    wrong = [(phrase, instead) for phrase, instead in found(text, INSTEAD_IN_CODE) if (name, phrase) not in ALLOWED]
    assert not wrong, "; ".join(f"for {phrase!r} write {instead}" for phrase, instead in wrong)


def test_a_phrase_in_an_error_is_found() -> None:
    (text,) = errors(ast.walk(ast.parse('raise E(f"{x} is no TPM")')))
    assert IN_ERRORS.search(text)
    (text,) = errors(ast.walk(ast.parse('raise E(f"{x}: is empty")')))
    assert IN_ERRORS.search(text)
    assert not IN_ERRORS.search("there is no TPM; expected one, which is no longer there")


def test_phrases_are_found_in_prose_and_not_in_code() -> None:
    assert list(found("What was GIVEN\nup. `told`\n```\namid\n```\n")) == [("given up", "cancel")]
