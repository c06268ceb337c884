"""Signals that end the process: it tidies up as after Ctrl-C, and then ends by the signal, as its parent expects."""

import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_came: list[int] = []


def tidy_up_first() -> None:
    """Let these signals raise KeyboardInterrupt. One that is ignored, as under `nohup`, stays ignored."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def end_by_signal() -> None:
    """End the process by the signal that came, if one came. Files and streams must have been closed."""
    for number in _came[:1]:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _came.append(number)
    signal.signal(number, signal.SIG_DFL)  # should tidying up wait for something, a second one ends the process at once
    raise KeyboardInterrupt
