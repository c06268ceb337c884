"""A token that cancels long operations."""

import pytest

from enclave_sim.cancellation import Cancellation, Cancelled


def test_a_token_that_nobody_cancels_lets_every_checkpoint_pass() -> None:
    token = Cancellation(lambda: False)
    token.poll()
    token.poll()


def test_a_cancelled_token_raises_at_every_checkpoint() -> None:
    token = Cancellation()
    token.cancel()
    for _ in range(2):
        with pytest.raises(Cancelled):
            token.poll()


def test_any_source_cancels_for_as_long_as_it_says_so() -> None:
    wanted = [False]
    token = Cancellation(lambda: False, lambda: wanted[0])
    token.poll()
    wanted[0] = True
    with pytest.raises(Cancelled):
        token.poll()
    wanted[0] = False
    token.poll()


def test_a_source_of_a_scope_is_asked_only_within_it() -> None:
    token = Cancellation()
    with pytest.raises(Cancelled), token.asking(lambda: True):
        token.poll()
    token.poll()


def test_what_a_source_raises_is_raised_at_the_checkpoint() -> None:
    def gone() -> bool:
        raise ConnectionError

    token = Cancellation()
    with token.asking(gone), pytest.raises(ConnectionError):
        token.poll()
