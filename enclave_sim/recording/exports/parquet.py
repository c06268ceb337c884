"""Recordings as a table for notebooks: Apache Parquet, one row per event.

Written by pyarrow, in row groups. Columns are `seq`, `at_ns`, `kind`, then the fields of all kinds of events, null if a
kind has no such field. Times are signed (an early wake has a negative latency), all other numbers unsigned, like the
processor's. A field that is text in one kind and a number in another has a column for each: `KIND_FIELD`. The schema's
metadata contains the header, `enclave_sim.header`.
"""

import typing
from collections.abc import Iterable, Iterator
from itertools import islice
from types import UnionType
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow
from pyarrow import parquet

from enclave_sim.events import KINDS, name_of_kind
from enclave_sim.recording.format import Header
from machine.events import Event

ROWS_IN_A_GROUP = 1 << 16
_TYPES = {bool: pyarrow.bool_(), str: pyarrow.string(), int: pyarrow.uint64()}


def columns() -> tuple[dict[str, Any], dict[type[Event], list[tuple[str, str]]]]:
    """Return the type of each column, and the fields of each kind of event, each with its column."""
    types: dict[str, set[Any]] = {}
    for kind in KINDS.values():
        for name, annotation in _fields(kind):
            types.setdefault(name, set()).add(_arrow_type(name, annotation))
    found: dict[str, Any] = {"seq": pyarrow.int64(), "at_ns": pyarrow.int64(), "kind": pyarrow.string()}
    places: dict[type[Event], list[tuple[str, str]]] = {}
    for kind in KINDS.values():
        places[kind] = []
        for name, annotation in _fields(kind):
            column = name if len(types[name]) == 1 else f"{name_of_kind(kind)}_{name}"
            found.setdefault(column, _arrow_type(name, annotation))
            places[kind].append((name, column))
    return found, places


def write(header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording as a table, in constant memory."""
    types, places = columns()
    metadata = {"enclave_sim.header": msgspec.json.encode(header)}
    schema = pyarrow.schema(list(types.items()), metadata=metadata)
    left = iter(events)
    with parquet.ParquetWriter(file, schema) as writer:
        while group := list(islice(left, ROWS_IN_A_GROUP)):
            writer.write_table(_table(group, schema, places), row_group_size=ROWS_IN_A_GROUP)


def _table(group: list[Event], schema: Any, places: dict[type[Event], list[tuple[str, str]]]) -> Any:
    values: dict[str, list[Any]] = {name: [None] * len(group) for name in schema.names}
    for row, event in enumerate(group):
        kind = type(event)
        values["kind"][row] = name_of_kind(kind)
        for name, column in places[kind]:
            value = getattr(event, name)
            values[column][row] = msgspec.json.encode(value).decode() if isinstance(value, msgspec.Struct) else value
    return pyarrow.table(values, schema=schema)


def _fields(kind: type[Event]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    return ((name, hints[name]) for name in kind.__struct_fields__)


def _arrow_type(name: str, annotation: Any) -> Any:
    if isinstance(annotation, UnionType):  # every column is nullable, so None is left out
        annotation, *others = (part for part in typing.get_args(annotation) if part is not type(None))
        if others:  # an input, as JSON
            return pyarrow.string()
    if typing.get_origin(annotation) is Literal:
        annotation = str
    if name == "seq" or name.endswith("_ns"):
        return pyarrow.int64()
    return _TYPES[annotation]
