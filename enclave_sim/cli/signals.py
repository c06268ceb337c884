"""Ctrl-C and termination signals: the process cleans up, and ends as its parent expects.

After the first Ctrl-C that takes as long as it takes to finish a recording. The second one ends the process at once.
A termination signal does what Ctrl-C does, and then the process dies by it.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from enclave_sim.cli.exit_codes import ExitCode

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_came: list[int] = []
_said: list[bool] = []
LAST_ACTS: list[Callable[[], object]] = []
"""Actions of a second Ctrl-C before the end, such as restoring the terminal."""


def tidy_up_first() -> None:
    """Make these signals raise KeyboardInterrupt. Ignored ones, as under `nohup`, stay ignored."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt_once)


def end_by_signal() -> None:
    """End the process by the received signal, if any. Files and streams must already be closed."""
    for number in _came[:1]:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def last_words() -> str:
    """Return what a command says that was interrupted; then a second Ctrl-C does not say it again."""
    _said.append(True)
    return "interrupted"


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _came.append(number)
    signal.signal(number, signal.SIG_DFL)  # if the clean-up blocks, a second signal ends the process at once
    raise KeyboardInterrupt


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _end_at_once)
    raise KeyboardInterrupt


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    writing = sys.modules.get("enclave_sim.files.writing")  # without it there are no temporary files
    if writing is not None:
        writing.remove_temporary_files()
    for act in LAST_ACTS:
        act()
    if not _said:
        with contextlib.suppress(OSError):
            os.write(2, b"\r\x1b[Kinterrupted\n" if os.isatty(2) else b"interrupted\n")
    os._exit(ExitCode.INTERRUPTED)
