"""Types of option values. It imports little, because `boot` uses it."""

import os
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enclave_sim.errors import ConfigurationError
from enclave_sim.similar import did_you_mean
from enclave_sim.times import nanoseconds

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LARGEST_TIME = (1 << 62) - 1
_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""Limits of Linux, in bytes."""


class Parsed(click.ParamType[Any]):
    """A value that a function parses from text. Defaults are already parsed."""

    def __init__(self, read: Callable[[str], object], metavar: str) -> None:
        self.name = metavar
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value. Errors get the name of the option."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class File(click.ParamType[Any]):
    """A path, completed by shells. It need not exist."""

    def __init__(self, kind: str = "file") -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path. An empty name, as of an unset variable, and one that no system takes are refused."""
        if not str(value):
            self.fail("'' is not the name of a file", param, ctx)
        name = os.fsencode(value)
        if len(name) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in name.split(b"/")):
            limits = f"{_LONGEST_NAME} bytes for a name, {_LONGEST_PATH} for a path"
            self.fail(f"the path {str(value)[:40]!a}... is too long: at most {limits}", param, ctx)
        return Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002
        """Let the shell complete it."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only the shell asks

        return [CompletionItem(incomplete, type=self.name)]


class Choice(click.ParamType[Any]):
    """The values of an enumeration."""

    def __init__(self, kind: type[Enum]) -> None:
        self._members = {str(member.value): member for member in kind}
        self.name = "|".join(self._members)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Enum:
        """Return the member with this value."""
        if isinstance(value, Enum):
            return value
        if value not in self._members:
            near = did_you_mean(value, self._members)
            self.fail(f"{value!r} is not one of {', '.join(self._members)}; {near}".rstrip("; "), param, ctx)
        return self._members[value]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """Return the values for the help."""
        return f"[{self.name}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002
        """Complete the values."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only the shell asks

        return [CompletionItem(value) for value in self._members if value.startswith(incomplete)]


def number(text: str, least: int | None = None, most: int | None = None) -> int:
    """Parse a number in Python's syntax, within limits. Raises ConfigurationError."""
    try:
        value = int(text, 0)
    except ValueError:
        value = None
    if value is None or (least is not None and value < least) or (most is not None and value > most):
        limits = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
        such_as = " (such as 1000000, 1_000_000 or 0xF4240)" if most is None else ""
        raise ConfigurationError(f"{text!r} is not a whole number{limits}{such_as}")
    return value


def utf8(text: str) -> str:
    """Check that a text can be kept in a recording. Raises ConfigurationError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{text!r} is not UTF-8 text") from None
    return text


def positive_time(text: str) -> int:
    """Parse a time of at least 1 ns. Raises ConfigurationError."""
    time = nanoseconds(text)
    if not 1 <= time <= _LARGEST_TIME:
        raise ConfigurationError(f"{text!r} is not a time of at least 1 ns and at most {_LARGEST_TIME} ns")
    return time


NUMBER = Parsed(number, "number")
NOT_NEGATIVE = Parsed(partial(number, least=0), "number")
POSITIVE = Parsed(partial(number, least=1), "number")
PORT = Parsed(partial(number, least=0, most=65535), "number")
TIME = Parsed(nanoseconds, "time")
POSITIVE_TIME = Parsed(positive_time, "time")
TEXT = Parsed(utf8, "text")
FILE = File()
DIRECTORY = File("dir")
