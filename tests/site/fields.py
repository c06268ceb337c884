"""Fields of our data types, with their types and the docstrings below them."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A field of a class, or a member of an enumeration."""

    name: str
    kind: str
    """Its annotation as written, or the expression of an enumeration's member."""
    meaning: str
    """The docstring below it, on one line; empty if there is none."""


def fields(owner: type) -> Iterator[Field]:
    """Yield the fields that a class defines itself, in order."""
    (defined,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(defined, ast.ClassDef)
    for statement, below in zip(defined.body, [*defined.body[1:], None], strict=True):
        meaning = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            meaning = " ".join(below.value.value.split())
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield Field(statement.target.id, ast.unparse(statement.annotation), meaning)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield Field(statement.targets[0].id, ast.unparse(statement.value), meaning)


def first_paragraph(owner: type) -> str:
    """Return the first paragraph of a class's docstring, on one line."""
    return " ".join((inspect.getdoc(owner) or "").partition("\n\n")[0].split())
