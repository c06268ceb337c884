"""Runs a command of `enclave-sim` in this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from click.testing import CliRunner

from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    error: str


def command(*arguments: str | Path, **environment: str) -> Ended:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "80", **environment})
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def assert_refused(ended: Ended, *words: str) -> None:
    """One line on standard error, nothing on standard output, exit code 2."""
    assert (ended.code, ended.output) == (ExitCode.USAGE, "")
    assert ended.error.startswith("error: ")
    assert ended.error.count("\n") == 1
    assert [word for word in words if word not in ended.error] == []


def commands(group: click.Group = app, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command, with the words that lead to it."""
    for name in group.list_commands(click.Context(group)):
        found = group.get_command(click.Context(group), name)
        assert found is not None
        yield (*words, name), found
        if isinstance(found, click.Group):
            yield from commands(found, *words, name)
