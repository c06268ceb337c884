"""Deferred host signals: they are handled at the end of a scope, in order, once each."""

import signal
import threading
from collections.abc import Iterator

import pytest

from machine.execution.deferred_signals import SignalsHeld

FIRST, SECOND = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture
def came() -> Iterator[list[int]]:
    """Handled signals."""
    handled: list[int] = []
    before = [signal.signal(number, lambda number, _frame: handled.append(number)) for number in (FIRST, SECOND)]
    yield handled
    for number, handler in zip((FIRST, SECOND), before, strict=True):
        signal.signal(number, handler)


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        signal.raise_signal(number)


def test_handlers_run_at_the_end_once_each_in_the_order_of_their_first_signals(came: list[int]) -> None:
    noticed: list[int] = []
    with SignalsHeld((FIRST, SECOND), lambda: noticed.append(len(came))):
        send(SECOND, FIRST, SECOND)
        assert came == []
    assert came == [SECOND, FIRST]
    assert noticed == [0, 0, 0], "at once, and each time"
    send(FIRST)
    assert came == [SECOND, FIRST, FIRST], "handled at once again"
    assert len(noticed) == 3


def test_a_signal_that_is_not_named_does_not_wait(came: list[int]) -> None:
    with SignalsHeld((FIRST,)):
        send(SECOND, FIRST)
        assert came == [SECOND]
    assert came == [SECOND, FIRST]


def test_the_outermost_scope_holds(came: list[int]) -> None:
    with SignalsHeld((FIRST,)):
        with SignalsHeld((FIRST, SECOND)):
            send(FIRST, SECOND)
        assert came == [SECOND]
    assert came == [SECOND, FIRST]


@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_may_raise_at_the_end_and_all_is_as_before(came: list[int], fails: bool) -> None:
    def refuse(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    def body() -> None:
        with SignalsHeld((FIRST, SECOND)):
            send(FIRST)
            if fails:
                raise ValueError

    signal.signal(FIRST, refuse)
    with pytest.raises(KeyboardInterrupt):
        body()
    assert signal.getsignal(FIRST) is refuse
    with SignalsHeld((SECOND,)):
        send(SECOND)
        assert came == []
    assert came == [SECOND]


def test_a_scope_can_be_entered_again(came: list[int]) -> None:
    scope = SignalsHeld((FIRST,))
    for times in (1, 2):
        with scope:
            send(FIRST)
        assert len(came) == times


def test_what_has_no_handler_in_python_is_left_alone() -> None:
    before = signal.signal(FIRST, signal.SIG_IGN)
    with SignalsHeld((FIRST,)):
        assert signal.getsignal(FIRST) is signal.SIG_IGN
    signal.signal(FIRST, before)


def test_in_another_thread_nothing_is_held(came: list[int]) -> None:
    held: list[object] = []

    def other() -> None:
        with SignalsHeld((FIRST,)):
            held.append(signal.getsignal(FIRST))

    handler = signal.getsignal(FIRST)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert held == [handler]
    assert came == []
