"""SIGTERM and SIGHUP: the process cleans up, and then ends by the signal; an ignored signal stays ignored."""

import signal
import subprocess
import sys

import pytest

BEGIN = "import signal; from enclave_sim.cli import signals; signals.tidy_up_first()\n"
WAIT = "print('ready', flush=True); signal.pause()"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
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


def _started(program: str, *, stdin: bool = False) -> "subprocess.Popen[str]":
    """Start a program, which prints `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE if stdin else None, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process
