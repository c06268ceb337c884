"""`enclave-sim run` in this process or a separate one, and sample results."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner

from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.recording.outcome.summary import RunResult

PHASES = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"]
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    error: str


def run(*arguments: str | Path, **environment: str) -> Ended:
    """Run the command in this process."""
    words = ["run", *map(str, arguments)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "80", **environment})
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def spawn(*arguments: str | Path, **environment: str) -> Ended:
    """Run the command as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "enclave_sim", *map(str, arguments)],
        capture_output=True,
        check=False,
        env=os.environ | {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"} | environment,
    )
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return Ended(done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding))


def assert_refused(ended: Ended, *words: str) -> None:
    """One line on standard error, nothing on standard output, exit code 2."""
    assert ended.code == ExitCode.USAGE
    assert ended.output == ""
    assert ended.error.startswith("error: ")
    assert ended.error.count("\n") == 1
    for word in words:
        assert word in ended.error


@cache
def _run(payload: str) -> RunResult:
    return Enclave(payload).run()


def result_of(payload: str = "beacon", **changes: Any) -> RunResult:
    """The modified result of a run."""
    return msgspec.structs.replace(_run(payload), **changes)
