"""What state is, and how it is taken out of an object and put back.

State is what an object's attributes hold as plain values: numbers, text, bytes, frozen records and containers of
these; and the objects with state that it is made of. All else is wiring - clocks, lines, callables - and stays.
"""

from array import array
from collections import Counter, deque
from collections.abc import Callable
from copy import copy
from enum import Enum
from typing import Any, ClassVar

import msgspec

State = dict[str, Any]
_VALUES = frozenset([type(None), bool, int, str, bytes])
_WIRING = object()


class Stateful:
    """An object whose state can be saved and loaded."""

    PARTS: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that are objects with state, or lists of such, and belong to this one."""

    def save_state(self) -> State:
        """A copy of the state, which later changes do not reach."""
        attributes, found = vars(self), {}
        for name, value in attributes.items():
            saved = value if type(value) in _VALUES else _copy(value)
            if saved is not _WIRING:
                found[name] = saved
        for name in self.PARTS:
            part = attributes[name]
            found[name] = [p.save_state() for p in part] if isinstance(part, list) else part.save_state()
        return found

    def load_state(self, state: State) -> None:
        """Return to a state that this object, or one of its class in the same configuration, had when it was saved."""
        attributes = vars(self)
        for name, saved in state.items():
            current = attributes.get(name)
            if name in self.PARTS:
                parts, states = (current, saved) if isinstance(current, list) else ([current], [saved])
                for part, part_state in zip(parts, states, strict=True):
                    part.load_state(part_state)
            elif type(current) in _VALUES and type(saved) in _VALUES:
                attributes[name] = saved
            elif not _is_wiring(current):  # an attribute may have been wired since
                attributes[name] = _copy(saved)


def _is_wiring(value: Any) -> bool:
    return not (type(value) in _PLAIN or _is_frozen(value))


def _is_frozen(value: Any) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return isinstance(value, Enum | msgspec.Struct) or (parameters is not None and parameters.frozen)


def _copy(value: Any) -> Any:
    """A copy of a plain value; `_WIRING` for anything else."""
    kind = type(value)
    if kind in _VALUES:
        return value
    copied = _COPIES.get(kind)
    if copied is not None:
        return copied(value)
    return value if _is_frozen(value) else _WIRING


def _copy_sequence(value: Any) -> Any:
    if _VALUES.issuperset(map(type, value)):
        return copy(value)
    copies = []
    for item in value:
        copies.append(_copy(item))
        if copies[-1] is _WIRING:
            return _WIRING
    return type(value)(copies)


def _copy_mapping(value: dict[Any, Any]) -> Any:
    if _VALUES.issuperset(map(type, value.values())):
        return value.copy()
    copies = {}
    for key, item in value.items():
        copies[key] = _copy(item)
        if copies[key] is _WIRING:
            return _WIRING
    return copies


_COPIES: dict[type, Callable[[Any], Any]] = {
    list: _copy_sequence,
    tuple: _copy_sequence,
    deque: _copy_sequence,
    set: set,
    frozenset: frozenset,
    dict: _copy_mapping,
    Counter: Counter,
    array: copy,
    bytearray: bytearray,
}
_PLAIN = _VALUES | _COPIES.keys()
