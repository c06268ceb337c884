"""Signals of the host wait while native code may call back into Python.

A handler that raises, as Ctrl-C's does, would run at the first bytecode of whatever callback comes next. ctypes drops
the exception there and the callback has done nothing: wasmtime then ends the process, and a machine would go on
without one of its events.
"""

import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType

INTERRUPT = (signal.SIGINT,)
Handler = Callable[[int, FrameType | None], object]
_held = False


class SignalsHeld:
    """A scope in which the handlers of `signals` do not run: they run at its end, once each, and may raise there.

    `notify` is called as soon as a signal is there, so that a long run can be told to stop. Scopes nest: the outermost
    one holds. Elsewhere than in the main thread, where Python runs no handlers, it does nothing.
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
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._hold)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        global _held  # noqa: PLW0603
        if not self._holds:
            return
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers, handlers = {}, self._handlers
        self._came, came = [], self._came
        _held = self._holds = False
        for number in dict.fromkeys(came):
            handlers[number](number, None)

    def _hold(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)
        if self._notify is not None:
            self._notify()
