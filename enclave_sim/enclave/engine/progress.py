"""Progress of a guest, so that a fresh guest can be run to the same position."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from wasmtime import InstancePre

CHECKPOINT_NS = 10_000_000
"""Fuel, in ns, between two checkpoints of a repeated run."""


class Admitted(NamedTuple):
    """A payload from which guests can be made."""

    prepared: InstancePre
    module: bytes
    """The module that was compiled."""
    memory_bytes: int
    """Size of its linear memory."""


class Progress(msgspec.Struct, frozen=True):
    """The progress of a guest.

    Its stack is in the host and cannot be copied; a fresh guest reaches the same position.
    """

    payload: int
    made_of: Admitted
    """The payload when the guest was made."""
    started: bool
    spent: int
    """Fuel, in ns."""
    waits: bool
    """True if it waits in a host call."""
    answers: list[int]
    """Answers to its host calls, possibly followed by later ones."""
    answered: int
    """The number of answers for this guest."""

    def plain(self, admitted: Sequence[Admitted]) -> tuple[Any, ...]:
        """Return the fields as independent plain values, with the module only if the payload was replaced."""
        module = None if admitted[self.payload] is self.made_of else self.made_of.module
        answers = self.answers[: self.answered]
        return (self.payload, module, self.started, self.spent, self.waits, answers, self.answered)


class GuestPosition(NamedTuple):
    """The position of a guest in its run."""

    spent: int
    """Fuel spent since its start, in ns."""
    waits: bool
    """True if it waits in a host call; otherwise it was preempted."""
    answers: Sequence[int]
    """Answers to its earlier host calls."""
    over: bool = False
    """True if it has returned or trapped."""
