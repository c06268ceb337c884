"""`enclave-sim sweep`: its table, a command that repeats a run, its JSON, and a line for each mistake."""

import json
import shlex
from pathlib import Path

import pytest

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.schema import Output
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.schemas import validator

WINDOW = ("--from", "1376450", "--to", "1376460ns")


def test_it_prints_a_line_for_each_class_and_a_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command("sweep", "interrupts", "beacon", "--kind", "tamper", "--engine", "wasmtime", *WINDOW)
    assert ended.code == 0
    said, _, heading, line, _, repeat = ended.output.splitlines()
    assert said == "10 runs, at 10 instants; 10 executed to the end"
    assert heading.split()[:2] == ["arrival", "runs"]
    assert line.split()[:4] == ["tamper", "10", "1,376,450", "EXEC_LOOP"]
    script, run = repeat.split("; ")
    assert run == "enclave-sim run beacon --engine wasmtime --inputs tamper.toml"
    words = shlex.split(script)
    Path(words[-1]).write_text(words[1].replace("\\n", "\n"))
    assert command(*shlex.split(run)[1:], "--quiet").output.startswith("TAMPER ")


def test_its_json_is_as_its_schema_says_and_has_the_digest_of_the_run(tmp_path: Path) -> None:
    ended = command("sweep", "interrupts", "beacon", "--to", "3ns", "--kind", "nmi", "--json")
    assert ended.code == ExitCode.GUARANTEE
    found = json.loads(ended.output)
    validator(Output.SWEEP_INTERRUPTS).validate(found)
    (one,) = found["classes"]
    assert (one["outcome"], one["holds"], one["runs"], found["holds"]) == ("KERNEL_STOPPED", False, 3, False)
    script = tmp_path / "nmi.toml"
    script.write_text(shlex.split(one["repeat"])[1].replace("\\n", "\n"))
    again = json.loads(command("run", "beacon", "--inputs", script, "--json").output)
    assert again["digest"] == one["digest"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--from 1us --to 1us", "--to: 1000 ns is not after --from, 1000 ns"),
        ("--from 1h", "the run has no instant in this window"),
        ("--kind mce", "'mce' is not one of external, nmi, tamper"),
        ("--jobs 0", "--jobs: '0' is not a whole number of at least 1"),
        ("--to 5ns --state missing/state", "there is no directory missing"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(command("sweep", "interrupts", "beacon", *arguments.split()), message)
