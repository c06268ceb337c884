"""State: an object's attributes that change in a run, saved and restored.

Each class declares its attributes by name; nothing is guessed from an attribute's value:

    class Timer(Device):
        STATE = ("count", "_mode")  # plain values: numbers, text, bytes, frozen records, and containers of these
        PARTS = ("_channel",) # objects with state of their own
        WIRING = ("_clock", "irq")  # all else: other objects, callables, constants, values derived from the state

A subclass declares only what it adds. tests/test_declared_state.py compares the declarations with the attributes.
"""

from array import array
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar

import msgspec

State = dict[str, Any]
_IMMUTABLE: set[type] = {type(None), bool, int, str, bytes}
"""Types whose values need no copy. Frozen types are added when they are first met."""


class Stateful:
    """An object whose state can be saved and loaded. An attribute that a class does not declare is not saved."""

    STATE: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes to save."""
    PARTS: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that are objects with state, or lists of them, owned by this object."""
    WIRING: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes not to save."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Add the declarations of the base classes. Raises TypeError for a name that is declared twice."""
        super().__init_subclass__(**arguments)
        for kind in ("STATE", "PARTS", "WIRING"):
            inherited = [name for base in cls.__bases__ for name in getattr(base, kind, ())]
            setattr(cls, kind, tuple(dict.fromkeys([*inherited, *cls.__dict__.get(kind, ())])))
        twice = [name for name, count in Counter(cls.STATE + cls.PARTS + cls.WIRING).items() if count > 1]
        if twice:
            raise TypeError(f"{cls.__name__} declares {', '.join(twice)} twice")

    def save_state(self) -> State:
        """Return a copy of the state, independent of later changes."""
        attributes = vars(self)
        saved: State = {}
        for name in self.STATE:
            value = attributes[name]
            saved[name] = value if type(value) in _IMMUTABLE else _copy(value)
        for name in self.PARTS:
            part = attributes[name]
            saved[name] = [p.save_state() for p in part] if isinstance(part, list) else part.save_state()
        return saved

    def load_state(self, state: State) -> None:
        """Restore a state saved by this object, or by one of the same class and configuration."""
        attributes = vars(self)
        for name in self.STATE:
            value = state[name]
            attributes[name] = value if type(value) in _IMMUTABLE else _copy(value)
        for name in self.PARTS:
            part, saved = attributes[name], state[name]
            if isinstance(part, list):
                for one, one_state in zip(part, saved, strict=True):
                    one.load_state(one_state)
            else:
                part.load_state(saved)


def _copy(value: Any) -> Any:
    """Return a copy of a plain value. Raises TypeError for anything else: it must not be declared as state."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    copied = _COPIES.get(kind)
    if copied is not None:
        return copied(value)
    if _is_frozen(kind):
        _IMMUTABLE.add(kind)
        return value
    raise TypeError(f"{kind.__name__} is not a plain value and cannot be state")


def _is_frozen(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return is_named_tuple or issubclass(kind, Enum | msgspec.Struct) or (parameters is not None and parameters.frozen)


def _copy_sequence(value: Any) -> Any:
    return value.copy() if _IMMUTABLE.issuperset(map(type, value)) else type(value)(map(_copy, value))


def _copy_tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    return value if _IMMUTABLE.issuperset(map(type, value)) else tuple(map(_copy, value))


def _copy_mapping(value: dict[Any, Any]) -> dict[Any, Any]:
    if _IMMUTABLE.issuperset(map(type, value.values())):
        return value.copy()
    return {key: _copy(item) for key, item in value.items()}


_COPIES: dict[type, Callable[[Any], Any]] = {
    list: _copy_sequence,
    tuple: _copy_tuple,
    deque: _copy_sequence,
    set: set,
    frozenset: frozenset,
    dict: _copy_mapping,
    Counter: Counter,
    array: lambda value: value[:],
    bytearray: bytearray,
}
