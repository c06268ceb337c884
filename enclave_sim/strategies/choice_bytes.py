"""A decision tape: bytes that a generator reads as its choices, one at a time.

Hypothesis draws the complete tape as one choice, which is fast, and shrinks it to fewer and lower bytes. So a generator
must map lower bytes to simpler things, 0 to the simplest. Beyond its end a tape reads as zeros.
"""

from collections.abc import Callable
from functools import partial

Draw = Callable[[], int]
"""Returns the next decision, 0 to 255."""


def tape(decisions: bytes) -> Draw:
    """Return a reader of `decisions`, followed by endless zeros."""
    return partial(next, iter(decisions), 0)
