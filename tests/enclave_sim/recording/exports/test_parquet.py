"""The table, read back with pyarrow."""

from io import BytesIO
from typing import Any

import msgspec
import pyarrow
import pytest
from hypothesis import given, settings
from pyarrow import parquet

from enclave_sim.events import KINDS, HostCalled, HostReturned
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.exports import parquet as export
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.format import Header
from machine.events import Event, Halted
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS, HEADER, Run, exported


def events_of(table: Any) -> list[Event]:
    """The events, rebuilt from the rows; columns that are not fields of an event must be null."""
    _, places = export.columns()
    found = []
    for row in table.to_pylist():
        kind = KINDS[row.pop("kind")]
        for name in set(export.CONTEXT) - {name for name, _ in places[kind]}:
            del row[name]
        for name in export.CALLS:
            del row[name]
        fields = {name: row.pop(column) for name, column in places[kind]}
        assert set(row.values()) <= {None}
        if fields.get("given") is not None:
            fields["given"] = msgspec.json.decode(fields["given"], type=AnyInput)
        found.append(kind(**fields))
    return found


def test_every_event_is_a_row_and_can_be_made_again(run: Run) -> None:
    table = parquet.read_table(BytesIO(run.export(Format.PARQUET)))
    assert events_of(table) == run.recording.events


def test_cycle_phase_and_ring_are_on_every_row_once_they_are_known(run: Run) -> None:
    rows = parquet.read_table(BytesIO(run.export(Format.PARQUET))).to_pylist()
    begun, entered = 0, [row["phase"] for row in rows if row["kind"] == "phase_entered"]
    phases: list[str] = []
    ring = 0
    for row in rows:
        begun += row["kind"] == "cycle_began"
        if row["kind"] not in ("attestation_decided", "verifier_challenged"):
            assert row["cycle"] == (begun - 1 if begun else None)
        phases += [row["phase"]] if row["phase"] not in (None, *phases[-1:]) else []
        ring = row["to_ring"] if row["kind"] == "ring_transition" else ring
        assert row["ring"] == ring
    assert phases == entered


def test_a_host_call_has_a_number_and_its_return_a_duration() -> None:
    recorded: list[Event] = [
        *(HostCalled(0, 10, 0, "get_status", 0), Halted(1, 11, True), HostReturned(2, 15, 0, 7)),
        *(HostCalled(3, 20, 1, "emit_signal", 0), HostCalled(4, 30, 0, "get_status", 0), HostReturned(5, 37, 0, 7)),
        HostReturned(6, 38, 0, 7),
    ]
    rows = export.table(HEADER, recorded).to_pylist()
    assert [row["call"] for row in rows] == [0, None, 0, 1, 2, 2, None]
    assert [row["duration_ns"] for row in rows] == [None, None, 5, None, None, 7, None]


def test_calls_are_followed_from_one_row_group_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_IN_A_GROUP", 1)
    rows = export.table(HEADER, [HostCalled(0, 10, 0, "get_status", 0), HostReturned(1, 15, 0, 7)]).to_pylist()
    assert [(row["call"], row["duration_ns"]) for row in rows] == [(0, None), (0, 5)]


def test_the_calls_of_a_run_are_between_their_events(run: Run) -> None:
    rows = parquet.read_table(BytesIO(run.export(Format.PARQUET))).to_pylist()
    called = [row for row in rows if row["kind"] == "host_called"]
    assert [row["call"] for row in called] == list(range(len(called)))
    for row in rows:
        assert (row["duration_ns"] is not None) == (row["kind"] == "host_returned")
        if row["kind"] == "host_returned":
            caller = called[row["call"]]
            assert (caller["cycle"], caller["number"]) == (row["cycle"], row["number"])
            assert row["duration_ns"] == row["at_ns"] - caller["at_ns"]


def test_a_column_of_times_says_its_unit() -> None:
    schema = export.table(HEADER, []).schema
    timed = [name for name in schema.names if schema.field(name).metadata]
    assert timed == [name for name in schema.names if name.endswith("_ns")]
    assert schema.field("latency_ns").metadata == {b"unit": b"ns of virtual time"}


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
