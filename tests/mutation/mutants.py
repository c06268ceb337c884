"""Mutants of a source file, made by the operators of Cosmic Ray.

A *site* is a place in a file and a kind of change: another binary operator, another comparison, a number off by one,
... At most sites Cosmic Ray has several changes of one kind: a `+` becomes each of eleven other operators. A sample
draws sites and makes one change at each, so that arithmetic does not dominate.

Not mutated: annotations and `if TYPE_CHECKING`, which have no effect at run time; `slots=` and `gc=` of data classes
and the size of a cache, which only save memory and time; the star among parameters, which is not a multiplication; and
whatever does not compile afterwards. Equality is not changed to identity or back: the interpreter decides which equal
values are one object.
"""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

Position = tuple[int, int]
"""Line, counted from 1, and column, counted from 0."""

_BINARY = "ReplaceBinaryOperator"
_FAMILY = re.compile(r"Replace(Binary|Comparison|Unary)Operator")
_IDENTITY = re.compile(r".*_(Eq_Is|Is_Eq|NotEq_IsNot|IsNot_NotEq)$")
_PLAIN_LEAVES = {"name", "string", "newline", "endmarker", "fstring_start", "fstring_end", "fstring_string"}
"""Leaves of the syntax tree that no operator changes."""


@dataclass(frozen=True)
class Site:
    """A place at which changes of one family can be made."""

    path: str
    family: str
    position: Position
    line: str
    nth: int
    """Number of earlier sites of the same family in the same line, or in an equal line above."""
    changes: tuple[tuple[str, int], ...]
    """Name of a Cosmic Ray operator, and its occurrence in the file."""

    def rank(self, seed: int) -> str:
        """Return the sort key of a random order that does not depend on other lines of the file or its directory."""
        text = f"{seed}\0{PurePosixPath(self.path).name}\0{self.family}\0{self.line}\0{self.nth}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Mutant:
    """One change to one file."""

    path: str
    operator: str
    line_number: int
    was: str
    """Line that is changed, without indentation."""
    becomes: str
    source: str
    """Text of the whole file after the change."""

    @property
    def name(self) -> str:
        """Identifier that survives changes to other lines of the file."""
        text = f"{self.path}\0{self.operator}\0{self.was}\0{self.becomes}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _operators() -> tuple[tuple[str, Operator], ...]:
    found = ((name, get_operator(name)) for name in sorted(operator_names()) if not _IDENTITY.match(name))
    return tuple((name, operator()) for name, operator in found if not operator.arguments())


@lru_cache(maxsize=1)  # of the file that is being looked at
def sites(path: str, source: str) -> list[Site]:
    """Return every site of a file, in the order of its text."""
    nodes = [node for node in ast_nodes(get_ast(source)) if node.type not in _PLAIN_LEAVES]
    stars = {node.start_pos for node in nodes if _is_star(node)}  # Cosmic Ray counts them among its occurrences
    spared = [*_annotations(source), *_without_behaviour(source)]
    changes: dict[tuple[Position, str], list[tuple[str, int]]] = {}
    starts: dict[str, list[Position]] = {}
    for name, operator in _operators():
        short = name.partition("/")[2]
        matched = _FAMILY.match(short)
        family = matched[0] if matched else short
        replaced = short.rpartition("_")[0] if family == _BINARY else short  # is there whatever it becomes
        if replaced not in starts:
            starts[replaced] = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts[replaced]):
            if start not in stars and not any(begin <= start < end for begin, end in spared):
                changes.setdefault((start, family), []).append((name, occurrence))
    lines = source.splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for (position, family), made in sorted(changes.items()):
        line = lines[position[0] - 1].strip()
        found.append(Site(path, family, position, line, seen[family, line], tuple(made)))
        seen[family, line] += 1
    return found


def mutant(site: Site, source: str, seed: int) -> Mutant | None:
    """Make one of a site's changes, drawn by the seed. Returns None if none compiles to different code."""
    for name, occurrence in sorted(site.changes, key=lambda change: _drawn(site, change[0], change[1], seed)):
        mutated = _changed(source, name, occurrence)
        if mutated is None or not _differs(source, mutated):
            continue
        return Mutant(site.path, name.partition("/")[2], site.position[0], *_lines(site, name, mutated), mutated)
    return None


def mutant_becoming(path: str, source: str, was: str, becomes: str) -> bool:
    """Return True if some operator turns the one line of a file into the other."""
    return any(
        _lines(site, name, mutated) == (was, becomes)
        for site in sites(path, source)
        if site.line == was
        for name, occurrence in site.changes
        if (mutated := _changed(source, name, occurrence)) is not None
    )


def sample(root: Path, paths: Iterable[str], size: int, seed: int) -> Iterator[Mutant]:
    """Yield up to `size` mutants of the Python files under paths, in an order that the seed determines."""
    sources = {file: (root / file).read_text() for file in python_files(root, paths)}
    every = [site for file, source in sources.items() for site in sites(file, source)]
    made = 0
    for site in sorted(every, key=lambda one: one.rank(seed)):
        if made == size:
            return
        drawn = mutant(site, sources[site.path], seed)
        if drawn is not None:
            made += 1
            yield drawn


def python_files(root: Path, paths: Iterable[str]) -> list[str]:
    """Return the Python files at or below paths, relative to root. Raises FileNotFoundError if there are none."""
    found: set[str] = set()
    for path in paths:
        whole = root / path
        files = [whole] if whole.suffix == ".py" and whole.is_file() else sorted(whole.rglob("*.py"))
        if not files:
            raise FileNotFoundError(f"no Python file at {path}")
        found.update(file.relative_to(root).as_posix() for file in files)
    return sorted(found)


def _changed(source: str, operator: str, occurrence: int) -> str | None:
    """Return the file with one change made, or None if there is none."""
    try:
        changed: str | None = mutate_code(source, get_operator(operator)(), occurrence)
    except AttributeError:  # Cosmic Ray 8.7 cannot replace a dotted name after `except`
        return None
    return changed


def _drawn(site: Site, name: str, occurrence: int, seed: int) -> str:
    return hashlib.sha256(f"{site.rank(seed)}\0{name}\0{occurrence - site.changes[0][1]}".encode()).hexdigest()


def _is_star(node: Any) -> bool:
    return bool(node.type == "operator" and node.parent.type in {"parameters", "param", "lambdef"})


def _annotations(source: str) -> Iterator[tuple[Position, Position]]:
    for node in ast.walk(ast.parse(source)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for part in found:
            if isinstance(part, ast.expr) and part.end_lineno is not None and part.end_col_offset is not None:
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


def _without_behaviour(source: str) -> Iterator[tuple[Position, Position]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg in {"slots", "gc", "maxsize"}:
            value = node.value
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            value = node.test
        else:
            continue
        yield (value.lineno, value.col_offset), (value.lineno, value.end_col_offset or 0)


def _differs(source: str, mutated: str) -> bool:
    try:
        return ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def _lines(site: Site, operator: str, mutated: str) -> tuple[str, str]:
    """Return the line before and after; empty after the removal of a decorator."""
    index = site.position[0] - 1
    gone = operator.endswith("/RemoveDecorator")
    return site.line, "" if gone else mutated.splitlines()[index].strip()
