"""Messages are in our own words: handlers pass a library's error to `reason`, or to a function like it."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "enclave_sim"
OURS = ("enclave_sim", "machine", "firmware", "payloads")
WORDING = {"reason", "invalid", "not_text", "compile_error", "isinstance", "getattr", "type", "explain"}
"""Functions that may be given a library's error."""
ANY = {"Exception", "BaseException", "KeyboardInterrupt"}
"""Not errors of data: a defect of ours, or something to raise again elsewhere."""


def foreign(handler: ast.ExceptHandler, tree: ast.Module) -> bool:
    """Whether it catches an error of a library or of Python, beside those of the operating system."""
    homes = {
        name.asname or name.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    for kind in kinds:
        if isinstance(kind, ast.Attribute) and ast.unparse(kind).partition(".")[0] not in homes:
            return True  # msgspec.MsgspecError
        if isinstance(kind, ast.Name) and kind.id not in ANY | {"OSError"}:
            if (
                kind.id not in homes
                and hasattr(builtins, kind.id)
                and not issubclass(getattr(builtins, kind.id), OSError)
            ):
                return True
            if kind.id in homes and not homes[kind.id].startswith(OURS):
                return True
    return False


def shown(source: str) -> Iterator[int]:
    """Find the lines where the text of a foreign error is used."""
    tree = ast.parse(source)
    for handler in ast.walk(tree):
        if not (isinstance(handler, ast.ExceptHandler) and handler.name and foreign(handler, tree)):
            continue
        for statement in handler.body:
            allowed = {
                id(leaf)
                for node in ast.walk(statement)
                if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORDING)
                or isinstance(node, ast.Attribute)
                for leaf in (node.args if isinstance(node, ast.Call) else [node.value])
            }
            allowed |= {id(node.cause) for node in ast.walk(statement) if isinstance(node, ast.Raise)}
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and node.id == handler.name and id(node) not in allowed:
                    yield node.lineno


def test_no_message_has_the_words_of_a_library() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sorted(ROOT.rglob("*.py"))
        if (lines := list(shown(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    "handler",
    [
        "except msgspec.ValidationError as error: raise ConfigurationError(f'{error}') from None",
        "except (ValueError, ConfigurationError) as error: say(str(error))",
        "except Unreadable as error: return error",
    ],
)
def test_the_words_of_a_library_are_found(handler: str) -> None:
    begin = "from library import Unreadable\nfrom enclave_sim.errors import ConfigurationError\ntry: pass\n"
    assert list(shown(begin + handler)) == [4]


@pytest.mark.parametrize(
    "handler",
    [
        "except msgspec.ValidationError as error: raise ConfigurationError(reason(error)) from None",
        "except ConfigurationError as error: say(str(error))",
        "except OSError as error: say(error.strerror)",
        "except ValueError as error: raise ConfigurationError('no') from error",
    ],
)
def test_words_of_ours_are_not(handler: str) -> None:
    assert list(shown(f"from enclave_sim.errors import ConfigurationError\ntry: pass\n{handler}")) == []
