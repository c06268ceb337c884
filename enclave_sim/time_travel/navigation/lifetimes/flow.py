"""The labels of what a step writes, from the labels of its sources."""

from collections.abc import Callable, Iterable

from enclave_sim.time_travel.navigation.lifetimes.answers import Maker, Met
from enclave_sim.time_travel.navigation.lifetimes.taint import MOST_LEVELS, Label, Taint, derived
from enclave_sim.time_travel.navigation.provenance.answers import Ending, Role
from enclave_sim.time_travel.navigation.provenance.effects import Effect, Input, Spread, Transfer, length
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import Position

WINDOW = 4
"""Bytes in a row that must equal the secret's to be taken for a copy although their making is not followed."""
_ONE_BYTE = frozenset([Spread.EACH, Spread.REVERSED])
_OF_BITS = frozenset([*_ONE_BYTE, Spread.BITS, Spread.BITS_UP_TO])


class Flow:
    """Applies the transfers of steps to labels.

    Args:
        taint: The labels.
        secret: The secret.
        content: Returns the current content of a place.
    """

    def __init__(self, taint: Taint, secret: bytes, content: Callable[[Place], bytes]) -> None:
        self._taint = taint
        self._secret = secret
        self._content = content

    def apply(self, transfer: Transfer, now: Position) -> None:
        """Apply a transfer, whose step has just been executed.

        Args:
            transfer: The transfer.
            now: The position after the step.
        """
        by = Maker(transfer.by, transfer.instruction)
        unknown = transfer.ending is not None and transfer.instruction is not None
        made = [(effect.target, self._labels(effect, by, now, unknown=unknown)) for effect in transfer.effects]
        for target, labels in made:
            if not any(labels):
                for piece in target:
                    self._taint.clear(piece, now, by)
                continue
            index = 0
            for piece in target:
                for byte in range(piece.start, piece.end):
                    self._taint.put(piece.space, byte, labels[index], now, by)
                    index += 1

    def touches(self, effects: Iterable[Effect]) -> bool:
        """Report whether effects read or write a labelled byte."""
        taint = self._taint
        for effect in effects:
            if any(taint.touches(one) for one in effect.target):
                return True
            for source in effect.inputs:
                if not isinstance(source.what, Ending) and any(taint.touches(one) for one in source.what):
                    return True
        return False

    def _labels(self, effect: Effect, by: Maker, now: Position, *, unknown: bool) -> list[Label | None]:
        size = length(effect.target)
        labelled = [one for one in effect.inputs if self.is_labelled(one)]
        if not labelled:
            return []
        if unknown:
            self._taint.meet(Met.NOT_MODELLED, by, now)
            found = [label for one in labelled for place in _places(one) for label in self._taint.labels(place)]
            return [derived(found, possible=True)] * size
        data = [one for one in effect.inputs if one.role is Role.DATA]
        moved = len(data) == 1 and data[0].spread in _ONE_BYTE
        mixed = any(one.role is not Role.DATA or one.spread not in _OF_BITS for one in labelled)
        kept = [one for one in labelled if one.role is Role.DATA and one.spread in _OF_BITS]
        labels = [self._label(kept, index, size, moved=moved) for index in range(size)]
        too_many = any(label is not None and label.level > MOST_LEVELS for label in labels)
        if mixed or too_many:
            self._taint.meet(Met.COMPUTED, by, now)
            labels = [None if label is not None and label.level > MOST_LEVELS else label for label in labels]
            if not any(labels):
                return self.by_value(effect.target)
        return labels

    def is_labelled(self, one: Input) -> bool:
        """Report whether a source has a labelled byte."""
        return not isinstance(one.what, Ending) and any(self._taint.touches(place) for place in one.what)

    def _label(self, inputs: list[Input], index: int, size: int, *, moved: bool) -> Label | None:
        found = [
            label
            for one in inputs
            for _, place in one.narrowed(index, index + 1, size)
            if isinstance(place, Place)
            for label in self._taint.labels(place)
        ]
        if not found:
            return None
        return found[0] if moved and len(found) == 1 else derived(found)

    def by_value(self, target: Iterable[Place]) -> list[Label | None]:
        """Return labels for the bytes of a place that are equal to a part of the secret, in its order."""
        content = b"".join(self._content(piece) for piece in target)
        return matches(self._secret, content)


def matches(secret: bytes, content: bytes) -> list[Label | None]:
    """Return the label of each byte of a content: of those of a sequence that the secret has too."""
    found: list[Label | None] = [None] * len(content)
    window = min(WINDOW, len(secret))
    for first in range(len(secret) - window + 1):
        at = content.find(secret[first : first + window])
        while at >= 0:
            for index in range(window):
                found[at + index] = found[at + index] or Label(first + index, first + index, 0)
            at = content.find(secret[first : first + window], at + 1)
    return found


def _places(one: Input) -> tuple[Place, ...]:
    return () if isinstance(one.what, Ending) else one.what
