"""Where two runs part: the events there, and their neighbours."""

from dataclasses import dataclass

from machine.events import Event

CONTEXT = 3
"""How many neighbours are kept on either side."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference of two sequences of events."""

    before: tuple[Event, ...]
    """What came before, in both."""
    first: tuple[Event, ...]
    """The differing event and what came after it; empty where the first is over."""
    second: tuple[Event, ...]
