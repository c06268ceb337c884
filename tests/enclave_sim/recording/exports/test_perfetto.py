"""Perfetto traces, read back with Perfetto's classes and by the rules of its track events."""

from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackDescriptor, TrackEvent

from enclave_sim.events import SignalEmitted, WakeScheduled, Woken
from enclave_sim.recording.exports import perfetto
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.spans import Track
from machine.events import Event, InterruptDelivered, InterruptRaised, RingTransition
from tests.enclave_sim.recording.exports import perfetto_classes
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS, HEADER, Run, exported


class Slice(NamedTuple):
    begin_ns: int
    end_ns: int
    name: str
    begun: dict[str, Any]
    ended: Any


class Read:
    """The content of a trace, by track."""

    def __init__(self, data: bytes) -> None:
        self.slices: defaultdict[str, list[Slice]] = defaultdict(list)
        self.instants: defaultdict[str, list[tuple[int, str, dict[str, Any]]]] = defaultdict(list)
        self.counters: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self.begun_flows: list[int] = []
        self.ended_flows: list[int] = []
        self.seqs: set[int] = set()
        names: dict[int, str] = {}
        parents: dict[int, int] = {}
        open_slices: defaultdict[int, list[tuple[int, str, dict[str, Any]]]] = defaultdict(list)
        packets = Trace.FromString(data).packet
        assert packets[0].sequence_flags == TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        times = [packet.timestamp for packet in packets if packet.HasField("track_event")]
        assert times == sorted(times)
        for packet in packets:
            assert packet.trusted_packet_sequence_id == 1
            if packet.HasField("track_descriptor"):
                descriptor: TrackDescriptor = packet.track_descriptor
                assert descriptor.uuid not in names
                names[descriptor.uuid] = descriptor.name
                parents[descriptor.uuid] = descriptor.parent_uuid
                continue
            assert packet.HasField("timestamp")
            event: TrackEvent = packet.track_event
            track = names[event.track_uuid]
            assert names[parents[event.track_uuid]] == "Aether Enclave"
            said = {one.name: _value(one) for one in event.debug_annotations}
            self.seqs |= {
                place["seq"] for place in (said, said.get("end")) if isinstance(place, dict) and "seq" in place
            }
            self.begun_flows += event.flow_ids
            self.ended_flows += event.terminating_flow_ids
            if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                open_slices[event.track_uuid].append((packet.timestamp, event.name, said))
            elif event.type == TrackEvent.TYPE_SLICE_END:
                begin_ns, name, begun = open_slices[event.track_uuid].pop()
                self.slices[track].append(Slice(begin_ns, packet.timestamp, name, begun, said["end"]))
            elif event.type == TrackEvent.TYPE_COUNTER:
                self.counters[track].append((packet.timestamp, event.counter_value))
            else:
                assert event.type == TrackEvent.TYPE_INSTANT
                self.instants[track].append((packet.timestamp, event.name, said))
        assert not any(open_slices.values())
        assert list(names) == list(range(1, len(names) + 1))
        assert {parents[uuid] for uuid in list(names)[1:]} == {1}


def _value(annotation: Any) -> Any:
    if annotation.dict_entries:
        return {entry.name: _value(entry) for entry in annotation.dict_entries}
    return getattr(annotation, annotation.WhichOneof("value"))


@pytest.fixture
def trace(run: Run) -> Read:
    return Read(run.export(Format.PERFETTO))


def test_phases_are_slices_from_entered_to_target_state_reached(run: Run, trace: Read) -> None:
    reached = [s for s in trace.slices["Phases"] if s.ended != "the recording ends" and "state" in s.ended]
    assert [(s.name, s.begin_ns, s.end_ns, s.ended["state"]) for s in reached] == [
        (p.name, p.at_ns, p.reached_at_ns, p.state) for p in run.result.phases if p.state is not None
    ]
    assert {s.name for s in trace.slices["Phases"]} == {phase.name for phase in run.result.phases}


def test_the_ring_is_known_at_every_time(run: Run, trace: Read) -> None:
    rings = trace.slices["Ring (CPL)"]
    assert rings[0].begin_ns == 0
    assert rings[-1].end_ns == run.recording.events[-1].at_ns
    assert all(before.end_ns == after.begin_ns for before, after in pairwise(rings))
    transitions = run.recording.of_kind(RingTransition)
    assert [s.name for s in rings] == ["ring 0", *(f"ring {event.to_ring}" for event in transitions)]


def test_interrupts_are_slices_from_delivered_to_returned(run: Run, trace: Read) -> None:
    interrupts = sorted(trace.slices["Interrupts"], key=lambda s: s.begun["seq"])
    delivered = run.recording.of_kind(InterruptDelivered)
    assert [(s.begin_ns, s.begun["vector"]) for s in interrupts] == [(e.at_ns, e.vector) for e in delivered]
    for interrupt in interrupts:
        if interrupt.begun["ring"] == 0 and interrupt.ended != "the recording ends":
            assert interrupt.ended["kind"] == "interrupt_returned"
            assert interrupt.ended["vector"] == interrupt.begun["vector"]
            assert interrupt.ended["rip"] == interrupt.begun["rip"]
        elif interrupt.begun["ring"] == 3 and interrupt.ended["kind"] == "ring_transition":
            assert interrupt.ended["rip"] == interrupt.begun["rip"]


def test_host_calls_are_slices_with_argument_and_result(run: Run, trace: Read) -> None:
    calls = trace.slices["Host calls"]
    assert len(calls) == run.result.host_calls
    for call in calls:
        assert "argument" in call.begun
        assert call.ended["kind"] in ("host_returned", "guest_destroyed", "annihilation_step", "cycle_ended")
        assert call.ended["kind"] != "host_returned" or "result" in call.ended


def test_signals_are_instants_and_a_counter(run: Run, trace: Read) -> None:
    emitted = [(event.at_ns, event.value) for event in run.recording.of_kind(SignalEmitted)]
    assert [(at_ns, said["value"]) for at_ns, _, said in trace.instants["Signals"]] == emitted
    assert trace.counters["Signal value"] == emitted


def test_a_flow_leads_from_each_scheduled_wake_to_the_wake(run: Run, trace: Read) -> None:
    assert len(trace.begun_flows) == len(set(trace.begun_flows)) == len(run.recording.of_kind(WakeScheduled))
    assert trace.ended_flows == trace.begun_flows[: len(run.recording.of_kind(Woken))]
    assert len(trace.ended_flows) == len(run.recording.of_kind(Woken))


def test_a_wake_that_was_not_scheduled_ends_no_flow() -> None:
    events = [WakeScheduled(0, 1, 9), Woken(1, 9, "timer", 9, 0), Woken(2, 20, "external", None, None)]
    trace = Read(exported(HEADER, events, Format.PERFETTO))
    assert (trace.begun_flows, trace.ended_flows) == ([1], [1])
    assert trace.counters["Wake latency"] == [(9, 0)]


def test_annihilation_shows_its_cause_and_steps(run: Run, trace: Read) -> None:
    assert [s.name for s in trace.slices["Annihilation"]] == [run.result.outcome] * run.result.halted
    steps = [(at_ns, name) for at_ns, name, said in trace.instants["Annihilation"] if "step" in said]
    assert steps == [(step.at_ns, f"{step.step} {step.meaning}") for step in run.result.annihilation]


def test_no_event_is_lost(run: Run, trace: Read) -> None:
    untold = {event.seq for event in run.recording.events} - trace.seqs
    assert all(isinstance(run.recording.events[seq], InterruptDelivered) for seq in untold)


def test_sleep_is_a_slice_from_hlt_to_the_interrupt(run_of: Callable[[str], Run]) -> None:
    run = run_of("counter")
    sleeps = Read(run.export(Format.PERFETTO)).slices["Sleep"]
    raised = [e.at_ns for e in run.recording.of_kind(InterruptRaised) if e.source == "external"]
    assert [s.end_ns for s in sleeps] == raised
    assert all(s.end_ns - s.begin_ns > 900_000 for s in sleeps)


def test_what_lasts_when_the_recording_ends_says_so(run_of: Callable[[str], Run]) -> None:
    run = run_of("limit")
    last = Read(run.export(Format.PERFETTO)).slices["Phases"][-1]
    assert (last.name, last.ended) == ("MEM_MAP", "the recording ends")
    assert last.end_ns == run.recording.events[-1].at_ns


@settings(max_examples=60)
@given(events=EVENT_LISTS)
def test_any_events_make_a_trace_that_can_be_read(events: list[Event]) -> None:
    Read(exported(HEADER, events, Format.PERFETTO))


def test_packets_are_written_some_at_a_time() -> None:
    """So memory does not grow with the recording. The first packets describe the tracks."""
    parts: list[int] = []
    packets = 0

    class Parts(BytesIO):
        def write(self, data: Any, /) -> int:
            nonlocal packets
            parts.append(len(data))
            packets += len(Trace.FromString(bytes(data)).packet)
            return super().write(data)

    count = 5000
    Format.PERFETTO.writer()(HEADER, [WakeScheduled(seq, seq, 0) for seq in range(count)], Parts())
    assert len(parts) > 3
    assert max(parts) < 100_000
    assert packets == count + len(Track) + 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [(-2, "int"), (-1, "int"), (0, "uint"), (1, "uint"), ((1 << 63) - 1, "uint"), (-(1 << 63), "int")],
)
def test_a_number_below_zero_is_a_signed_one(value: int, kind: str) -> None:
    data = exported(HEADER, [Woken(0, 1, "timer", 0, value)], Format.PERFETTO)
    annotations = [
        annotation
        for packet in Trace.FromString(data).packet
        for annotation in packet.track_event.debug_annotations
        if annotation.name == "latency_ns"
    ]
    assert [one.WhichOneof("value") for one in annotations] == [f"{kind}_value"]


def test_a_wake_that_no_sleep_came_before_ends_no_flow() -> None:
    events: list[Event] = [
        Woken(0, 1, "timer", 0, 3),
        WakeScheduled(1, 2, 9),
        Woken(2, 3, "timer", 0, None),
        Woken(3, 4, "timer", 0, -2),
        WakeScheduled(4, 5, 9),
        WakeScheduled(5, 6, 9),
        Woken(6, 7, "timer", 0, 0),
    ]
    read = Read(exported(HEADER, events, Format.PERFETTO))
    assert (read.begun_flows, read.ended_flows) == ([1, 2, 3], [1, 3])
    assert read.counters["Wake latency"] == [(1, 3), (4, -2), (7, 0)]


@given(EVENT_LISTS)
def test_the_trace_is_what_the_classes_of_perfetto_write(events: list[Event]) -> None:
    ours, theirs = BytesIO(), BytesIO()
    perfetto.write(HEADER, events, ours)
    perfetto_classes.write(HEADER, events, theirs)
    assert ours.getvalue() == theirs.getvalue()
