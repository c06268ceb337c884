"""Termination signals: the process cleans up as after Ctrl-C, and then dies by the signal, as its parent expects."""

import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_came: list[int] = []


def tidy_up_first() -> None:
    """Make these signals raise KeyboardInterrupt. Ignored ones, as under `nohup`, stay ignored."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def end_by_signal() -> None:
    """End the process by the received signal, if any. Files and streams must already be closed."""
    for number in _came[:1]:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _came.append(number)
    signal.signal(number, signal.SIG_DFL)  # if the clean-up blocks, a second signal ends the process at once
    raise KeyboardInterrupt
