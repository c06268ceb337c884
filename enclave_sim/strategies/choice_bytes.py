"""A decision tape: bytes that a generator reads as its choices, one at a time.

Hypothesis draws the whole tape as one choice, which is fast, and shrinks it: fewer bytes, and lower ones. So a
generator must take a lower byte for a simpler thing, 0 for the simplest. A tape that is used up reads as zeros.
"""

from collections.abc import Callable
from functools import partial

Draw = Callable[[], int]
"""Gives the next decision, 0 to 255."""


def tape(decisions: bytes) -> Draw:
    """Read `decisions` from the first to the last, then zeros without end."""
    return partial(next, iter(decisions), 0)
