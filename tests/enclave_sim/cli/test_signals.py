"""Signals: the process cleans up, and then ends by the signal; an ignored signal stays ignored. A second Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.cli.exit_codes import ExitCode

BEGIN = "import signal; from enclave_sim.cli import signals; signals.tidy_up_first()\n"
WAIT = "print('ready', flush=True); signal.pause()"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_process_tidies_up_and_ends_by_the_signal(number: signal.Signals) -> None:
    heeded = f"import signal; signal.signal({number:d}, signal.SIG_DFL)\n"  # the tests may run under nohup
    process = _started(f"{heeded}{BEGIN}try:\n {WAIT}\nfinally:\n print('tidied', flush=True); signals.end_by_signal()")
    process.send_signal(number)
    assert process.communicate(timeout=300)[0] == "tidied\n"
    assert process.returncode == -number


def test_a_second_signal_ends_it_at_once() -> None:
    process = _started(f"{BEGIN}try:\n {WAIT}\nfinally:\n {WAIT}")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=300)[0] == ""
    assert process.returncode == -signal.SIGTERM


def test_what_nohup_ignores_stays_ignored() -> None:
    source = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + BEGIN
    process = _started(f"{source}print('ready', flush=True); input()", stdin=True)
    process.send_signal(signal.SIGHUP)
    assert process.communicate("\n", timeout=300)[0] == ""
    assert process.returncode == 0


RECORDING = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run under nohup
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
from enclave_sim.cli import signals
from enclave_sim.files.writing import output_file
signals.tidy_up_first()
try:
    with output_file(Path(sys.argv[1]), "write"):
        try:
            print("ready", flush=True)
            signal.pause()
        finally:
            if sys.argv[2] == "slowly":
                print("tidying", flush=True)
                signal.pause()
finally:
    signals.end_by_signal()
"""


def test_a_second_ctrl_c_ends_it_at_once_in_one_line_and_without_a_file(tmp_path: Path) -> None:
    process = _started(RECORDING, str(tmp_path / "file"), "slowly")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "tidying\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=300) == ("", "interrupted\n")
    assert process.returncode == ExitCode.INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_sigquit_leaves_no_temporary_file(tmp_path: Path) -> None:
    process = _started(RECORDING, str(tmp_path / "file"), "quickly")
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(signal.SIGQUIT)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGQUIT
    assert list(tmp_path.iterdir()) == []


def _started(program: str, *arguments: str, stdin: bool = False) -> "subprocess.Popen[str]":
    """Start a program, which prints `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE if stdin else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process
