"""Progress of a guest: how far it is, so that a fresh guest can be run to the same place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from wasmtime import InstancePre


class Admitted(NamedTuple):
    """A payload that guests can be made of."""

    prepared: InstancePre
    module: bytes
    """What was compiled."""
    memory_bytes: int
    """Of its linear memory."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a guest is. Its stack lies in the host and cannot be copied; but it gets there again."""

    payload: int
    made_of: Admitted
    """What the payload was when the guest was made."""
    started: bool
    spent: int
    """Fuel."""
    waits: bool
    """In a host call."""
    answers: list[int]
    """Of its host calls, and perhaps of later ones."""
    answered: int
    """How many of them are its."""

    def plain(self, admitted: Sequence[Admitted]) -> tuple[Any, ...]:
        """Its fields as plain values that share nothing; the module only where the payload is another one by now."""
        module = None if admitted[self.payload] is self.made_of else self.made_of.module
        answers = self.answers[: self.answered]
        return (self.payload, module, self.started, self.spent, self.waits, answers, self.answered)
