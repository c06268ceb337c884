"""Which event an input waits for: the n-th one of a kind whose fields have given values."""

from enum import Enum
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from enclave_sim.specification import Phase
from machine.events import Event

Value = int | str | bool
_NAMES = {"phase": tuple(phase.name for phase in Phase)}
"""Fields of text that hold one of a few names."""
_TYPES = {int: "a whole number", str: "text", bool: "true or false"}
_LONGEST = 60


@cache
def kinds() -> dict[str, type[Event]]:
    """Every kind of event by the name that recordings give it."""
    from enclave_sim.events import AnyEvent  # noqa: PLC0415 - events tell of inputs, and so of what these wait for

    return {str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)}


@cache
def fields_of(kind: type[Event]) -> dict[str, Any]:
    """The fields of a kind of event that can be asked for: numbers, text and truth, by name, with their types."""
    found = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return {name: type_ for name, type_ in found.items() if _is_plain(type_)}


def _is_plain(kind: Any) -> bool:
    parts = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    return get_origin(kind) is Literal or all(part in _TYPES for part in parts)


class AfterEvent(msgspec.Struct, frozen=True):
    """The `count`-th event of a run, from 1, that is of the kind `event` and whose `fields` have these values.

    The kind is named as in recordings (`phase_completed`). Fields that are not given may have any value.
    """

    event: str
    fields: dict[str, Value] = {}
    count: int = 1

    def __post_init__(self) -> None:
        plain = {name: value.value if isinstance(value, Enum) else value for name, value in self.fields.items()}
        in_order = dict(sorted(plain.items()))  # equal ones are encoded equally
        msgspec.structs.force_setattr(self, "fields", in_order)

    @property
    def mistake(self) -> str | None:
        """What is wrong with it and what would be right, or None."""
        if not isinstance(self.event, str) or self.event not in kinds():
            return f"{shown(self.event)} is no kind of event; there are {', '.join(kinds())}"
        types = fields_of(kinds()[self.event])
        for name, value in self.fields.items():
            if name not in types:
                return f"{self.event} has no field {name!r}; it has {', '.join(types)}"
            if not _fits(value, types[name]):
                return f"{name} is {shown(value)}; in {self.event} it is {_described(types[name])}"
            if name in _NAMES and value not in _NAMES[name]:
                return f"{name} is {shown(value)}; it must be one of {', '.join(_NAMES[name])}"
        if type(self.count) is not int or self.count < 1 or not is_storable(self.count):
            return f"count is {shown(self.count)}; it must be a whole number from 1"
        return None

    def matches(self, event: Event) -> bool:
        """Whether the event is of this kind and has these values."""
        if type(event) is not kinds()[self.event]:
            return False
        return all(getattr(event, name) == value for name, value in self.fields.items())


def is_storable(number: int) -> bool:
    """Whether a recording can hold it."""
    return -(1 << 63) <= number < 1 << 64


def shown(value: object) -> str:
    """A value that somebody wrote, for a message of one line."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not is_storable(value):
        return "a number of more than 64 bits"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _fits(value: object, kind: Any) -> bool:
    if type(value) not in _TYPES or (isinstance(value, int) and not is_storable(value)):
        return False
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return False
    return True


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    (found,) = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    return _TYPES[found]
