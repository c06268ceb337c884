"""The divergence of two runs: the events there, and their neighbours."""

from dataclasses import dataclass

from machine.events import Event

CONTEXT = 3
"""Number of neighbours that are kept on either side."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference of two sequences of events."""

    before: tuple[Event, ...]
    """The events before it, common to both."""
    first: tuple[Event, ...]
    """The differing event of the first and those after it; empty if the first has ended."""
    second: tuple[Event, ...]
    """The same of the second."""
