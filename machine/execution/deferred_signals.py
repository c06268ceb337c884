"""Deferring host signals while native code may call back into Python.

A handler that raises, like that of Ctrl-C, would run at the first bytecode of the next callback. ctypes drops the
exception there, and the callback has done nothing. wasmtime then aborts the process, and a machine would continue with
an event missing.
"""

# `signal` also looks each handler up in an enumeration, which took longer than all the rest of a step.
import _signal  # type: ignore[import-not-found]
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType

INTERRUPT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals whose handlers may raise to stop the current operation."""
Handler = Callable[[int, FrameType | None], object]
_held = False


class SignalsHeld:
    """A context manager that defers signal handlers to its end, where each runs once and may raise.

    Contexts nest: the outermost one defers. Outside the main thread, where Python runs no handlers, it does nothing.

    Args:
        signals: The signals to defer.
        notify: Called when a signal arrives, for example to cancel a long run.
    """

    def __init__(
        self, signals: Iterable[signal.Signals] = INTERRUPT, notify: Callable[[], object] | None = None
    ) -> None:
        self._signals = signals
        self._notify = notify
        self._handlers: dict[int, Handler] = {}
        self._came: list[int] = []
        self._holds = False

    def __enter__(self) -> None:
        global _held  # noqa: PLW0603 - handlers belong to the process
        if _held or threading.get_ident() != threading.main_thread().ident:
            return
        _held = self._holds = True
        for number in self._signals:
            handler = _signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                _signal.signal(number, self._hold)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        global _held  # noqa: PLW0603
        if not self._holds:
            return
        for number, handler in self._handlers.items():
            _signal.signal(number, handler)
        self._handlers, handlers = {}, self._handlers
        self._came, came = [], self._came
        _held = self._holds = False
        for number in dict.fromkeys(came):
            handlers[number](number, None)

    def _hold(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)
        if self._notify is not None:
            self._notify()
