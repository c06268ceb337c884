"""Runs a command of `enclave-sim` in this process."""

from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

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
