"""Files, folders, modules, class members and pages named in the documents exist."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.all_classes import classes
from tests.names import OURS, ROOMS, ROOT, files

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = {"Phase.explain", "cause.py", "enclave_sim.header", "hello.c"}
"""Names that only look like ours: of Hypothesis, of the metadata of Parquet files, of files that the reader writes."""


@cache
def members() -> dict[str, set[str]]:
    """The names of all classes, each with its attributes, those that methods assign to `self` included."""
    found: dict[str, set[str]] = {}
    for name, each in classes():
        own = found.setdefault(name.rpartition(".")[2], set())
        for base in inspect.getmro(each)[:-1]:
            own |= vars(base).keys() | getattr(base, "__annotations__", {}).keys()
            if base.__module__.startswith(("machine", "enclave_sim")):
                own |= assigned(base.__module__).get(base.__qualname__.rpartition(".")[2], set())
    return found


@cache
def assigned(module: str) -> dict[str, set[str]]:
    """The attributes of `self` that each class of a module names. `inspect.getsource` would parse it for each class."""
    text = inspect.getsource(importlib.import_module(module))
    lines = text.splitlines()
    return {
        node.name: set(re.findall(r"self\.(\w+)", "\n".join(lines[node.lineno - 1 : node.end_lineno])))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }


def importable(name: str) -> bool:
    module, _, member = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        return bool(module) and hasattr(importlib.import_module(module), member)
    return True


def exists(name: str) -> bool:
    """Whether the named thing exists; True for names that are not ours."""
    name = name.removesuffix("()")
    first = re.split(r"[./]", name)[0]
    if "/" in name:
        return first not in ROOMS or (ROOT / name).exists()
    if OURS.fullmatch(name):
        return name in files()
    if name.startswith("enclave_sim."):
        return importable(name)
    if re.fullmatch(r"[A-Z]\w+\.\w+", name) and first in members():
        return name.partition(".")[2] in members()[first]
    return True


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def named(page: Path) -> Iterator[str]:
    yield from re.findall(r"`([A-Za-z_][\w/.-]*(?:\(\))?)`", prose(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_of_ours_exists(page: Path) -> None:
    assert [name for name in named(page) if name not in OTHERS and not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_that_is_linked_to_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(page))
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "name",
    ["docs/gone.md", "gone.py", "enclave_sim.gone", "enclave_sim.enclave.gone", "Machine.gone", "machine/gone/"],
)
def test_what_is_gone_is_noticed(name: str) -> None:
    assert not exists(name)
