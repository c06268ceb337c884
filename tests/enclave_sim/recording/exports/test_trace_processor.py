"""Perfetto traces, opened by Perfetto's trace processor, the program used by ui.perfetto.dev."""

from collections import defaultdict

import pytest
from hypothesis import given, settings

from enclave_sim import Enclave
from enclave_sim.events import HostCalled, HostReturned, WakeScheduled, Woken
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.perfetto import name_of
from enclave_sim.recording.exports.spans import Begin, End, Instant, Track, marks
from machine.events import Event, InterruptDelivered
from tests.documents.blocks import ROOT, blocks
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS, HEADER, Run, exported
from tests.enclave_sim.recording.exports.trace_processor import TraceProcessor

pytestmark = pytest.mark.slow  # the first one compiles the trace processor, which takes seconds

SLICES = """
SELECT track.name AS track, slice.ts AS ts, slice.dur AS dur, slice.name AS name
FROM slice JOIN track ON slice.track_id = track.id
"""
TROUBLE = "SELECT name, value FROM stats WHERE severity IN ('error', 'data_loss') AND value != 0"


def slices_of(events: list[Event]) -> list[tuple[str, int, int, str]]:
    """Slices and instants, by track, time, duration and name."""
    found = []
    begun: defaultdict[Track, list[Begin]] = defaultdict(list)
    for mark in marks(events):
        if isinstance(mark, Begin):
            begun[mark.track].append(mark)
        elif isinstance(mark, Instant):
            found.append((mark.track.value, mark.at_ns, 0, name_of(mark.name)))
        elif isinstance(mark, End):
            begin = begun[mark.track].pop()
            found.append((mark.track.value, begin.at_ns, mark.at_ns - begin.at_ns, name_of(begin.name)))
    return sorted(found)


@pytest.fixture
def trace(run: Run) -> TraceProcessor:
    return TraceProcessor(run.export(Format.PERFETTO))


def test_the_trace_is_loaded_without_complaint(trace: TraceProcessor) -> None:
    assert trace.query(TROUBLE) == []


def test_it_shows_every_slice_and_instant_on_its_track(run: Run, trace: TraceProcessor) -> None:
    assert sorted(trace.query(SLICES)) == slices_of(run.recording.events)


def test_all_tracks_are_under_one_in_their_order(run: Run, trace: TraceProcessor) -> None:
    ranks = """
    SELECT t.name AS name, EXTRACT_ARG(t.source_arg_set_id, 'sibling_order_rank') AS rank
    FROM track t JOIN track p ON t.parent_id = p.id WHERE p.name = 'Aether Enclave' ORDER BY rank
    """
    names = [name for name, _ in trace.query(ranks)]
    every = [track.value for track in Track] + ["Signal value", "Wake latency"]
    assert names == [name for name in every if name in names]
    assert {"Phases", "Ring (CPL)", "Memory"} <= set(names)


def test_the_query_of_the_page_counts_host_calls() -> None:
    """docs/exports.md shows it."""
    (query,) = (block.text for block in blocks(ROOT / "docs/exports.md") if block.language == "sql")
    enclave = Enclave("counter", cycles=3)
    enclave.run()
    assert enclave.recording is not None
    trace = TraceProcessor(exported(enclave.recording.header, enclave.recording.events, Format.PERFETTO))
    ((name, calls, longest),) = trace.query(query)
    assert (name, calls) == ("emit_signal", 6)
    assert longest == max(
        returned.at_ns - called.at_ns
        for called, returned in zip(
            enclave.recording.of_kind(HostCalled), enclave.recording.of_kind(HostReturned), strict=True
        )
    )


def test_it_counts_signals(run: Run, trace: TraceProcessor) -> None:
    counters = "SELECT c.value AS value FROM counter c JOIN track t ON c.track_id = t.id WHERE t.name = 'Signal value'"
    assert [int(value) for (value,) in trace.query(f"{counters} ORDER BY c.ts, c.id")] == list(run.result.signals)


def test_arrows_lead_from_scheduled_wakes_to_the_wakes(run: Run, trace: TraceProcessor) -> None:
    flows = """
    SELECT a.ts AS scheduled, b.ts AS woken FROM flow
    JOIN slice a ON flow.slice_out = a.id JOIN slice b ON flow.slice_in = b.id ORDER BY scheduled
    """
    scheduled = [event.at_ns for event in run.recording.of_kind(WakeScheduled)]
    woken = [event.at_ns for event in run.recording.of_kind(Woken)]
    assert trace.query(flows) == list(zip(scheduled, woken, strict=False))


def test_what_events_say_can_be_asked_for(run: Run, trace: TraceProcessor) -> None:
    seqs = "SELECT EXTRACT_ARG(arg_set_id, 'debug.seq') AS begun, EXTRACT_ARG(arg_set_id, 'debug.end.seq') AS ended"
    found = {seq for row in trace.query(f"{seqs} FROM slice") for seq in row if seq is not None}
    untold = [event for event in run.recording.events if event.seq not in found]
    assert {type(event) for event in untold} <= {InterruptDelivered}  # one of a pair: the slice shows the raised one
    assert found <= {event.seq for event in run.recording.events}
    results = "SELECT EXTRACT_ARG(arg_set_id, 'debug.end.result') AS result FROM slice WHERE result IS NOT NULL"
    returned = [event.result for event in run.recording.of_kind(HostReturned)]
    assert [result for (result,) in trace.query(f"{results} ORDER BY ts")] == returned


@settings(max_examples=25)
@given(events=EVENT_LISTS)
def test_any_events_are_loaded_without_complaint(events: list[Event]) -> None:
    trace = TraceProcessor(exported(HEADER, events, Format.PERFETTO))
    assert trace.query(TROUBLE) == []
    assert sorted(trace.query(SLICES)) == slices_of(events)
