"""The table, read back with pyarrow."""

from io import BytesIO
from typing import Any

import msgspec
import pyarrow
import pytest
from hypothesis import given, settings
from pyarrow import parquet

from enclave_sim.events import KINDS
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.exports import parquet as export
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.format import Header
from machine.events import Event, Halted
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS, HEADER, Run, exported


def events_of(table: Any) -> list[Event]:
    """The events, made again from the rows; what is no field of theirs must be null."""
    _, places = export.columns()
    found = []
    for row in table.to_pylist():
        kind = KINDS[row.pop("kind")]
        fields = {name: row.pop(column) for name, column in places[kind]}
        assert set(row.values()) <= {None}
        if fields.get("given") is not None:
            fields["given"] = msgspec.json.decode(fields["given"], type=AnyInput)
        found.append(kind(**fields))
    return found


def test_every_event_is_a_row_and_can_be_made_again(run: Run) -> None:
    table = parquet.read_table(BytesIO(run.export(Format.PARQUET)))
    assert events_of(table) == run.recording.events


def test_the_header_is_in_the_metadata(run: Run) -> None:
    schema = parquet.read_schema(BytesIO(run.export(Format.PARQUET)))
    header = msgspec.json.decode(schema.metadata[b"enclave_sim.header"], type=Header)
    assert header.configuration == msgspec.to_builtins(run.recording.header.configuration)
    assert header.payload_sha256 == run.recording.header.payload_sha256


def test_columns_are_typed() -> None:
    types, _ = export.columns()
    assert list(types)[:3] == ["seq", "at_ns", "kind"]
    assert types["at_ns"] == types["latency_ns"] == types["deadline_ns"] == pyarrow.int64()
    assert types["rip"] == types["vector"] == pyarrow.uint64()
    assert types["verified"] == pyarrow.bool_()
    assert types["region"] == pyarrow.string()
    assert "detail" not in types  # text in one kind, a number in another
    assert types["guest_trapped_detail"] == pyarrow.string()
    assert types["annihilation_began_detail"] == pyarrow.uint64()


def test_the_table_is_written_in_row_groups(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_IN_A_GROUP", 10)
    file = parquet.ParquetFile(BytesIO(run.export(Format.PARQUET)))
    assert file.num_row_groups == -(-len(run.recording.events) // 10)
    assert events_of(file.read()) == run.recording.events


@settings(max_examples=60)
@given(events=EVENT_LISTS)
def test_any_events_come_back(events: list[Event]) -> None:
    assert events_of(parquet.read_table(BytesIO(exported(HEADER, events, Format.PARQUET)))) == events


def test_a_row_group_has_65536_rows() -> None:
    events: list[Event] = [Halted(seq, seq, True) for seq in range(65_537)]
    file = parquet.ParquetFile(BytesIO(exported(HEADER, events, Format.PARQUET)))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [65_536, 1]
