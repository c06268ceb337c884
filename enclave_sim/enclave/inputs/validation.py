"""Check inputs against the events and the RAM of their enclave, and order them."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import KINDS
from enclave_sim.inputs import LATEST_NS, AfterEvent, AnyInput, MemoryFault, MemoryWrite
from enclave_sim.similar import did_you_mean
from enclave_sim.specification import Phase
from machine.events import Event

_NAMES = {"phase": tuple(phase.name for phase in Phase)}
"""Text fields with a fixed set of names."""
_TYPES = {int: "a whole number", str: "text", bool: "true or false"}
_LONGEST = 60


def ordered(inputs: Iterable[AnyInput], ram_bytes: int) -> tuple[AnyInput, ...]:
    """Check inputs, and put them in the order of a schedule.

    Args:
        inputs: The inputs, in any order.
        ram_bytes: The size of the enclave's RAM.

    Returns:
        The inputs by time, simultaneous ones in the given order, then those that wait for events.

    Raises:
        ConfigurationError: An input is impossible.
    """
    given = tuple(inputs)
    for one in given:
        mistake = mistake_of(one, ram_bytes)
        if mistake is not None:
            since = "" if one.after is None else f" after {one.after.event}"
            raise ConfigurationError(f"input {type(one).__name__} at {one.at_ns} ns{since}: {mistake}")
    return tuple(sorted(given, key=lambda one: LATEST_NS if one.after is not None else one.at_ns))


def mistake_of(one: AnyInput, ram_bytes: int) -> str | None:
    """Describe what is wrong with an input for this RAM size, and what would be right; None if it is valid."""
    if type(one.at_ns) is not int or not 0 <= one.at_ns < LATEST_NS:
        return f"time {one.at_ns} is out of range; it must be a whole number from 0 to {LATEST_NS - 1}"
    if isinstance(one, MemoryFault) and not 0 <= one.address < ram_bytes:
        return f"there is no RAM at {one.address:#x}; it ends at {ram_bytes - 1:#x}"
    if isinstance(one, MemoryWrite) and not 0 <= one.address <= ram_bytes - len(one.data) // 2:
        return f"there is no RAM for {len(one.data) // 2} bytes at {one.address:#x}; it ends at {ram_bytes - 1:#x}"
    return one.mistake or (None if one.after is None else mistake_of_condition(one.after))


def mistake_of_condition(after: AfterEvent) -> str | None:
    """Describe what is wrong with the awaited event, and what would be right; None if it is valid."""
    if not isinstance(after.event, str) or after.event not in KINDS:
        hint = did_you_mean(after.event, KINDS) if isinstance(after.event, str) else ""
        return f"{shown(after.event)} is not a kind of event; {hint}there are {', '.join(KINDS)}"
    types = fields_of(KINDS[after.event])
    for name, value in after.fields.items():
        if name not in types:
            return f"{after.event} has no field {name!r}; it has {', '.join(types)}"
        if not _fits(value, types[name]):
            return f"{name} is {shown(value)}; in {after.event} it is {_described(types[name])}"
        if name in _NAMES and value not in _NAMES[name]:
            return f"{name} is {shown(value)}; it must be one of {', '.join(_NAMES[name])}"
    if type(after.count) is not int or after.count < 1 or not is_storable(after.count):
        return f"count is {shown(after.count)}; it must be a whole number from 1"
    return None


def matches(after: AfterEvent, event: Event) -> bool:
    """Return whether the event has the kind and the values waited for."""
    if type(event) is not KINDS[after.event]:
        return False
    return all(getattr(event, name) == value for name, value in after.fields.items())


@cache
def fields_of(kind: type[Event]) -> dict[str, Any]:
    """Return the fields of a kind of event that a condition can use, with their types: numbers, text, truth values."""
    found = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return {name: type_ for name, type_ in found.items() if _is_plain(type_)}


def _is_plain(kind: Any) -> bool:
    parts = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    return get_origin(kind) is Literal or all(part in _TYPES for part in parts)


def is_storable(number: int) -> bool:
    """Return True if a recording can hold the number."""
    return -(1 << 63) <= number < 1 << 64


def shown(value: object) -> str:
    """Return a user's value for a one-line message."""
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
