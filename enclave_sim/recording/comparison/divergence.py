"""The divergence of two runs: the differing events, and their neighbours."""

from dataclasses import dataclass

from machine.events import Event

CONTEXT = 3
"""Number of neighbours kept on either side."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference of two sequences of events."""

    before: tuple[Event, ...]
    """The events before it, common to both."""
    first: tuple[Event, ...]
    """The differing event of the first sequence and those after it; empty if it has ended."""
    second: tuple[Event, ...]
    """The same for the second sequence."""
