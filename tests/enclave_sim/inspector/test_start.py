"""From the command to the first useful screen, in a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import IO

import pytest

from tests.enclave_sim.inspector.driving import million_additions_s

_COMMAND = "from enclave_sim.cli.runs.inspect import inspect; inspect()"
_ROOT = Path(__file__).parents[3]
_PATIENCE_S = 300
_ALTERNATE_SCREEN, _NORMAL_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.mark.speed
def test_the_first_useful_screen_comes_within_forty_times_amillion_additions_s() -> None:
    """One second on a host that adds a million numbers in 25 ms. The best of three, because hosts are shared."""
    assert min(_start_s() / million_additions_s() for _ in range(3)) < 40


@pytest.mark.slow
def test_the_screen_is_drawn_on_standard_output_when_errors_go_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "err.log").open("wb") as errors:
        assert _start_s(errors) > 0
    assert (tmp_path / "err.log").read_bytes() == b""


@pytest.mark.slow
def test_ctrl_z_stops_it_and_the_whole_screen_comes_back_with_fg() -> None:
    with _terminal() as (process, ours):
        _read_until(ours, b"beginning")
        os.write(ours, b"\x1a")
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        left = _read_until(ours, _NORMAL_SCREEN)
        assert _ALTERNATE_SCREEN not in left
        process.send_signal(signal.SIGCONT)
        again = _read_until(ours, b"help", b"PROT_ENTRY", b"beginning", b"All")
        assert _ALTERNATE_SCREEN in again
        os.write(ours, b"q")
        _read_until(ours, _NORMAL_SCREEN)
        assert process.wait(_PATIENCE_S) == 0


def _start_s(errors: IO[bytes] | None = None) -> float:
    begun = perf_counter()
    with _terminal(errors) as (_, ours):
        _read_until(ours, b"beginning")
        return perf_counter() - begun


@contextmanager
def _terminal(errors: IO[bytes] | None = None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the inspector in a terminal. Yields the process, and our end of the terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(_ROOT), "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "counter"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if errors is None else errors,
        env=environment,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(ours: int, *texts: bytes) -> bytes:
    """Return what is drawn from now on, until each of these texts has been."""
    begun, shown = perf_counter(), b""
    while not all(text in shown for text in texts):
        assert perf_counter() - begun < _PATIENCE_S, shown[-1000:]
        if select.select([ours], [], [], 0.1)[0]:
            shown += os.read(ours, 1 << 16)
    return shown
