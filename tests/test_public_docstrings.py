"""Docstrings of the public interface are complete: they describe each parameter, and the returned or yielded value.

The public interface is the `__all__` of the packages that the site describes, with the public methods of the classes.
Fields of a dataclass or a struct are documented beside the field, and a property by one sentence.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from types import FunctionType
from typing import Any, NoReturn

import pytest

from tests.site.python_api import EXPORTED, PACKAGES

_SECTION = re.compile(r"(?P<indent> *)(?P<name>Args|Returns|Yields|Raises):\n(?P<body>(?:(?P=indent) +.*\n?|\n)*)")
_ENTRY = re.compile(r"\*{0,2}(\w+)(?: \(.*?\))?:")
_ELSEWHERE = re.compile(r"See `[\w.]+`[^\n]*|[^\n]*Return and raise as `\w+`\.")
"""The docstring of a method that refers to its contract."""
_NOTHING = (None, "None", NoReturn, "NoReturn", inspect.Signature.empty)


def sections(docstring: str) -> dict[str, str]:
    """Return the text of each section, without its indentation."""
    return {found["name"]: inspect.cleandoc("\n" + found["body"]) for found in _SECTION.finditer(docstring + "\n")}


def missing(function: Callable[..., Any], docstring: str | None) -> Iterator[str]:
    """Yield the parts missing in a function's docstring."""
    if not docstring:
        yield "there is no docstring"
        return
    if _ELSEWHERE.fullmatch(docstring):
        return
    found = sections(inspect.cleandoc(docstring))
    named = {entry[1] for line in found.get("Args", "").splitlines() if (entry := _ENTRY.match(line))}
    signature = inspect.signature(function)
    parameters = [name for name in signature.parameters if name not in ("self", "cls") and not name.startswith("_")]
    yield from (f"Args: {name}" for name in parameters if name not in named)
    if signature.return_annotation not in _NOTHING and not found.keys() & {"Returns", "Yields"}:
        yield "Returns: or Yields:"


def functions(owner: type) -> Iterator[tuple[str, Callable[..., Any], str | None]]:
    """Yield the functions of a class that are ours and public: `__init__` and the methods, inherited ones, too."""
    maker = owner.__init__  # type: ignore[misc]
    if isinstance(maker, FunctionType) and maker.__code__.co_filename.endswith(".py") and _is_ours(maker, owner):
        yield "__init__", maker, maker.__doc__ or owner.__doc__
    for name in dir(owner):
        method = inspect.getattr_static(owner, name)
        method = method.__func__ if isinstance(method, classmethod | staticmethod) else method
        if not name.startswith("_") and isinstance(method, FunctionType) and _is_ours(method, owner):
            yield name, method, method.__doc__


def _is_ours(function: FunctionType, owner: type) -> bool:
    return function.__module__.partition(".")[0] == owner.__module__.partition(".")[0]


def incomplete(package: str) -> Iterator[str]:
    """Yield the parts missing in a package's public docstrings, one line each."""
    module = import_module(package)
    for name in EXPORTED.get(package) or module.__all__:
        public = getattr(module, name)
        if isinstance(public, type):
            found = list(functions(public))
        elif inspect.isfunction(public):
            found = [("", public, public.__doc__)]
        else:
            continue
        for method, function, docstring in found:
            where = f"{name}.{method}".rstrip(".")
            yield from (f"{where}: {what}" for what in missing(function, docstring))


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_are_complete(package: str) -> None:
    found = list(incomplete(package))
    assert not found, "\n".join(found)


def test_what_is_left_out_is_found() -> None:
    def function(first: int, second: int, **others: int) -> int:
        """Do it.

        Args:
            first: A number,
                on two lines: two.
            **others: More numbers.
        """
        return first + second + sum(others.values())

    assert list(missing(function, function.__doc__)) == ["Args: second", "Returns: or Yields:"]
    assert list(missing(function, "See `Elsewhere`.")) == []
    assert list(missing(function, None)) == ["there is no docstring"]
