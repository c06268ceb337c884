"""Files and folders named in comments and docstrings exist."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.names import OURS, ROOMS, ROOT, files

PYTHON, C = (".py",), (".c", ".h", ".S", ".ld", ".zig")
_PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join(ROOMS)})/[\w./-]*[\w/])")
_FILE = re.compile(rf"(?<![\w./{{}}*-]){OURS.pattern}(?![\w/.])")
OTHERS = {"enclave_sim/0x4145"}
"""Names that only look like our paths."""


def sources() -> Iterator[Path]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in PYTHON + C and "build" not in path.parts:
                yield path


def comments(text: str, suffix: str) -> str:
    """The comments of a source, and the docstrings of one in Python."""
    if suffix in PYTHON:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        found = [token.string for token in tokens if token.type == tokenize.COMMENT]
        for node in ast.walk(ast.parse(text)):
            body = getattr(node, "body", None)
            for part in body if isinstance(body, list) else ():
                if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                    found.append(str(part.value.value))
        return "\n".join(found)
    return "\n".join(re.findall(r"/\*.*?\*/|//[^\n]*", text, re.DOTALL))


def missing(text: str) -> list[str]:
    """Paths and file names in a comment that do not exist."""
    paths = {name for name in _PATH.findall(text) if name not in OTHERS and not (ROOT / name).exists()}
    names = {match[0] for match in _FILE.finditer(text)} - files()
    return sorted(paths | names)


def test_every_file_that_a_comment_names_exists() -> None:
    texts = {path: path.read_text() for path in sources()}
    found = {path: missing(comments(text, path.suffix)) for path, text in texts.items() if missing(text)}
    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("text", "suffix", "names"),
    [
        ('"""See machine/gone.py."""\n', ".py", ["machine/gone.py"]),
        ("class A:\n    b = 1\n    '''As gone.py has it.'''\n", ".py", ["gone.py"]),
        ("a = 1  # docs/gone.md, machine/machine.py\n", ".py", ["docs/gone.md"]),
        ("a = 'machine/gone.py'\n", ".py", []),
        ("int a; /* firmware/src/gone.h,\n   tests/gone */", ".c", ["firmware/src/gone.h", "tests/gone"]),
        ("int a; // machine/machine.py, gone.h", ".c", ["gone.h"]),
    ],
)
def test_what_is_gone_is_noticed(text: str, suffix: str, names: list[str]) -> None:
    assert missing(comments(text, suffix)) == names
