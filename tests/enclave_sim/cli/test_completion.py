"""`enclave-sim completion`: completion in shells."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.enclave_sim.cli.command import command


def completed(*words: str) -> list[str]:
    """The candidates for bash when the last word is completed."""
    environment = {
        "_ENCLAVE_SIM_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("enclave-sim", *words)),
        "COMP_CWORD": str(len(words)),
    }
    ended = command(**environment)
    assert (ended.code, ended.error) == (0, "")
    return ended.output.split()


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["re"], ["plain,replay", "plain,reference-values"]),
        (["payload", "s"], ["plain,show", "plain,sign"]),
        (["run", "--q"], ["plain,--quantum-ns", "plain,--quiet"]),
        (["run", "be"], ["plain,beacon"]),
        (["run", "--engine", "native", "su"], ["plain,surveyor"]),
        (["run", "./gu"], ["file,./gu"]),
        (["run", "--record", "x"], ["file,x"]),
        (["run", "--engine", "n"], ["plain,native"]),
        (["events", "run.jsonl", "--kind", "wo"], ["plain,woken"]),
        (["payload", "keygen", "x", "--directory", "k"], ["dir,k"]),
        (["boot", "--module", "init"], ["file,init"]),
    ],
)
def test_commands_options_payloads_kinds_and_files_are_completed(words: list[str], answers: list[str]) -> None:
    assert completed(*words) == answers


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_accepts(shell: str) -> None:
    ended = command("completion", shell)
    assert ended.code == 0
    assert "_ENCLAVE_SIM_COMPLETE" in ended.output
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=ended.output, text=True, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_it(tmp_path: Path) -> None:
    program = tmp_path / "enclave-sim"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m enclave_sim "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(enclave-sim completion bash)"
        COMP_WORDS=(enclave-sim run be) COMP_CWORD=2
        _enclave_sim_completion enclave-sim
        echo "${COMPREPLY[@]}"
    """
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("beacon\n", "")
