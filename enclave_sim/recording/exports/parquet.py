"""Recordings as a table for notebooks: Apache Parquet, one row per event.

Written by pyarrow, in row groups. Columns are `seq`, `at_ns`, `kind`, then the fields of all kinds of events, null if a
kind has no such field. `cycle`, `phase` and `ring` are on every row: an event without such a field has the value of its
context, null only before the first. `call` is the number of a host call, on the rows of its call and its return, and
`duration_ns` on the latter the time between them: derived, as no event has them. Times are signed (an early wake has a
negative latency), all other numbers unsigned, as the processor's are. A field that is text in one kind and a number in
another has a column for each: `KIND_FIELD`. A column of times has `unit` in its metadata. The schema's metadata holds
the header, `enclave_sim.header`.
"""

import typing
from collections.abc import Iterable, Iterator
from itertools import islice
from types import UnionType
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow
from pyarrow import parquet

from enclave_sim.events import KINDS, HostCalled, HostReturned, name_of_kind
from enclave_sim.recording.context import Context
from enclave_sim.recording.format import Header
from machine.events import Event

ROWS_IN_A_GROUP = 1 << 16
CONTEXT = ("cycle", "phase", "ring")
"""The columns that every row has."""
CALLS = ("call", "duration_ns")
"""The columns that host calls have."""
_TYPES = {bool: pyarrow.bool_(), str: pyarrow.string(), int: pyarrow.uint64()}


class CallFollower:
    """Follows the host calls of a run in order."""

    def __init__(self) -> None:
        self.call: int | None = None
        """The number of the call to which the last event belongs, from 0; None for any other event."""
        self.duration_ns: int | None = None
        """The length of the call that the last event ended, else None."""
        self._count = 0
        self._called: HostCalled | None = None

    def read(self, event: Event) -> None:
        """Take one event. A call that leads to no return is followed by the next call."""
        self.call = self.duration_ns = None
        if isinstance(event, HostCalled):
            self._count += 1
            self._called, self.call = event, self._count - 1
        elif isinstance(event, HostReturned) and self._called is not None:
            self.call, self.duration_ns = self._count - 1, event.at_ns - self._called.at_ns
            self._called = None


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
    found |= {"call": pyarrow.uint64(), "duration_ns": pyarrow.int64()}
    return found, places


def write(header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording as a table, in constant memory."""
    with parquet.ParquetWriter(file, _schema(header)) as writer:
        for table in _tables(header, events):
            writer.write_table(table, row_group_size=ROWS_IN_A_GROUP)
            del table  # before the next one is made


def table(header: Header, events: Iterable[Event]) -> Any:
    """Return the recording as a `pyarrow.Table`, with the same columns."""
    return pyarrow.concat_tables([_schema(header).empty_table(), *_tables(header, events)])


def _schema(header: Header) -> Any:
    types, _ = columns()
    units = {name: {"unit": "ns of virtual time"} for name in types if name.endswith("_ns")}
    fields = [pyarrow.field(name, kind, metadata=units.get(name)) for name, kind in types.items()]
    return pyarrow.schema(fields, metadata={"enclave_sim.header": msgspec.json.encode(header)})


def _tables(header: Header, events: Iterable[Event]) -> Iterator[Any]:
    """Yield tables of at most `ROWS_IN_A_GROUP` rows."""
    schema, (_, places), context, calls, left = _schema(header), columns(), Context(), CallFollower(), iter(events)
    while group := list(islice(left, ROWS_IN_A_GROUP)):
        yield _table(group, schema, places, context, calls)


def _table(
    group: list[Event],
    schema: Any,
    places: dict[type[Event], list[tuple[str, str]]],
    context: Context,
    calls: CallFollower,
) -> Any:
    values: dict[str, list[Any]] = {name: [None] * len(group) for name in schema.names}
    for row, event in enumerate(group):
        kind = type(event)
        context.read(event)
        for name in CONTEXT:
            values[name][row] = getattr(context, name)
        calls.read(event)
        for name in CALLS:
            values[name][row] = getattr(calls, name)
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
