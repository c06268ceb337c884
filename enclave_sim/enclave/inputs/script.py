"""Input scripts: an enclave's outside inputs with their times, as a TOML file (docs/inputs.md).

[[input]]
kind = "sensor_value"
after = { event = "phase_completed", phase = "MEM_MAP" }
delay = "1.5 us"
sensor = 0
value = 99
"""

import os
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec

import payloads as built_in
from enclave_sim.enclave.configuration import read_payload
from enclave_sim.enclave.inputs.validation import is_storable, mistake_of, mistake_of_condition, shown
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import DOCUMENT, read_utf8
from enclave_sim.inputs import LATEST_NS, AfterEvent, AnyInput, kind_of
from enclave_sim.memory_map import region
from enclave_sim.reasons import reason
from enclave_sim.similar import did_you_mean
from enclave_sim.specification import EngineName
from enclave_sim.times import nanoseconds

MAX_INPUTS = 100_000
"""Limit for one script, repetitions included."""
_KINDS: dict[str, type[AnyInput]] = {kind_of(kind): kind for kind in get_args(AnyInput)}
_GUEST = "guest"
"""The key for the source of `GuestReplaced.code`."""
_WHEN = ("at", "at_ns", "after", "delay", "delay_ns", "every", "every_ns", "times")
_TYPES = {int: "a whole number", bool: "true or false", bytes: "a built-in name or the path of a file", str: "text"}


def read_inputs(path: Path, engine: EngineName = EngineName.WASMTIME) -> tuple[AnyInput, ...]:
    """Read the inputs of a script.

    Args:
        path: The script.
        engine: The engine of the run, which decides what a guest in the script is.

    Returns:
        The inputs in the order of the script, repetitions expanded.

    Raises:
        ConfigurationError: In one line, with the file, the input (from 1) and the field.
    """
    document = _parse(path)
    unknown = [key for key in document if key != "input"]
    if unknown:
        raise ConfigurationError(f"{path}: unknown key {unknown[0]!r}; a script has nothing but [[input]] tables")
    tables = document.get("input", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationError(f"{path}: input is not a list of tables; begin each with [[input]]")
    found: list[AnyInput] = []
    for number, table in enumerate(tables, start=1):
        try:
            found += _Table(table, path.parent, engine).inputs(MAX_INPUTS - len(found))
        except ConfigurationError as error:
            kind = table.get("kind")
            name = f" ({kind})" if isinstance(kind, str) and kind in _KINDS else ""
            raise ConfigurationError(f"{path}, input {number}{name}: {error}") from None
    return tuple(found)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_utf8(path, DOCUMENT, "an input script"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {reason(error)}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is not an input script: it is nested too deeply") from None


class _Table:
    """One [[input]] table. Each key is removed when read; keys left at the end are unknown."""

    def __init__(self, table: dict[str, Any], directory: Path, engine: EngineName) -> None:
        self._left = dict(table)
        self._directory = directory
        self._engine = engine

    def inputs(self, most: int) -> list[AnyInput]:
        """Return its inputs, at most `most`. Raises ConfigurationError."""
        kind = self._kind()
        after = self._after()
        first = self._first(after)
        every, times = self._repetition()
        fields = {field.name: self._field(field) for field in _own_fields(kind)}
        if self._left:
            known = ", ".join(("kind", *_WHEN, *map(_key, _own_fields(kind))))
            raise ConfigurationError(f"unknown key {shown(next(iter(self._left)))}; there are {known}")
        if times > most:
            raise ConfigurationError(f"too many; a script has at most {MAX_INPUTS} inputs, repetitions included")
        if first + every * (times - 1) >= LATEST_NS:
            raise ConfigurationError(f"every and times: the last is too late; times are below {LATEST_NS} ns")
        found = [kind(at_ns=first + every * n, after=after, **fields) for n in range(times)]
        mistake = mistake_of(found[0], region("heap").end)
        if mistake is not None:
            raise ConfigurationError(mistake)
        return found

    def _kind(self) -> type[AnyInput]:
        kind = self._left.pop("kind", None)
        if not isinstance(kind, str) or kind not in _KINDS:
            what = "there is no kind" if kind is None else f"kind is {shown(kind)}"
            hint = did_you_mean(kind, _KINDS) if isinstance(kind, str) else ""
            raise ConfigurationError(f"{what}; {hint}it must be one of {', '.join(_KINDS)}")
        return _KINDS[kind]

    def _after(self) -> AfterEvent | None:
        if "after" not in self._left:
            return None
        table = self._left.pop("after")
        if not isinstance(table, dict) or "event" not in table:
            raise ConfigurationError('after must be a table with an event, as { event = "phase_completed" }')
        fields = {name: value for name, value in table.items() if name not in ("event", "count")}
        after = AfterEvent(table["event"], fields, table.get("count", 1))
        if (mistake := mistake_of_condition(after)) is not None:
            raise ConfigurationError(f"after: {mistake}")
        return after

    def _first(self, after: AfterEvent | None) -> int:
        """Return the time in nanoseconds: from reset, or from the event."""
        at, delay = self._time("at"), self._time("delay")
        if after is None and delay is None and at is not None:
            return at
        if after is not None and at is None:
            return delay or 0
        raise ConfigurationError("it must have either at (or at_ns), or after and, if needed, delay (or delay_ns)")

    def _repetition(self) -> tuple[int, int]:
        """Return the interval in nanoseconds, and the number of inputs."""
        every, times = self._time("every"), self._left.pop("times", None)
        if every is None and times is None:
            return 0, 1
        if every is None or times is None:
            raise ConfigurationError("every (or every_ns) and times belong together")
        if every == 0:
            raise ConfigurationError("every is 0; repetitions are at least 1 ns apart")
        if type(times) is not int or times < 1 or not is_storable(times):
            raise ConfigurationError(f"times is {shown(times)}; it must be a whole number from 1")
        return every, times

    def _time(self, name: str) -> int | None:
        """Return a time in nanoseconds: the number `name`_ns, or the text `name`."""
        in_ns = f"{name}_ns"
        if name in self._left and in_ns in self._left:
            raise ConfigurationError(f"{name} and {in_ns} exclude each other")
        if name in self._left:
            return _nanoseconds(name, self._left.pop(name))
        number = self._left.pop(in_ns, None)
        if number is not None and (type(number) is not int or not 0 <= number < LATEST_NS):
            right = f"a whole number from 0 to {LATEST_NS - 1}"
            raise ConfigurationError(f"{in_ns} is {shown(number)}; it must be {right}")
        return number

    def _field(self, field: msgspec.structs.FieldInfo) -> Any:
        """Return the value of a field specific to this kind."""
        name, expected = _key(field), _TYPES[field.type]
        if name not in self._left:
            raise ConfigurationError(f"there is no {name}; it must be {expected}")
        value = self._left.pop(name)
        if name == _GUEST and isinstance(value, str):
            return self._guest(value)
        if type(value) is not field.type or (field.type is int and not is_storable(value)):
            raise ConfigurationError(f"{name} is {shown(value)}; it must be {expected}")
        return value

    def _guest(self, name: str) -> bytes:
        native = self._engine.is_flat
        if name in (built_in.flat_names() if native else built_in.names()):
            return read_payload(name, self._engine)
        path = self._directory / name
        if not os.path.exists(path):
            names = built_in.flat_names() if native else built_in.names()
            there = f"{did_you_mean(name, names)}there are {', '.join(names)}"
            raise ConfigurationError(f"guest is {shown(name)}: neither a file beside the script nor built in; {there}")
        try:
            return read_payload(path, self._engine)
        except ConfigurationError as error:
            raise ConfigurationError(f"guest: {error}") from None


def _own_fields(kind: type[AnyInput]) -> list[msgspec.structs.FieldInfo]:
    return [field for field in msgspec.structs.fields(kind) if field.name not in ("at_ns", "after")]


def _key(field: msgspec.structs.FieldInfo) -> str:
    """Return the key of a field in a script."""
    return _GUEST if field.type is bytes else field.name


def _nanoseconds(name: str, text: object) -> int:
    """Convert a text such as `1.5 ms` to nanoseconds, exactly."""
    if not isinstance(text, str):
        raise ConfigurationError(f'{name} is {shown(text)}; it must be a text with a number and a unit, as "1.5 ms"')
    try:
        time = nanoseconds(text, None)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    if time >= LATEST_NS:
        raise ConfigurationError(f"{name} is {shown(text)}; it must be below {LATEST_NS} ns")
    return time
