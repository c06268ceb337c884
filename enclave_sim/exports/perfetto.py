"""Recordings for Perfetto (ui.perfetto.dev): its native protobuf, as track events.

Written by Perfetto's own classes, a packet at a time. Timestamps are virtual nanoseconds. What every event said is kept
as debug annotations.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any, BinaryIO

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    CounterDescriptor,
    DebugAnnotation,
    TrackDescriptor,
    TrackEvent,
)
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket as Packet
from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

from enclave_sim.events import SignalEmitted, WakeScheduled, Woken
from enclave_sim.exports.marks import Begin, End, Mark, Track, marks
from enclave_sim.recording import Header
from machine.events import Event

_SEQUENCE = 1
_ROOT = 1
_UUIDS = {track: uuid for uuid, track in enumerate(Track, start=_ROOT + 1)}
_SIGNAL_VALUE, _WAKE_LATENCY = _ROOT + len(_UUIDS) + 1, _ROOT + len(_UUIDS) + 2
_ADDRESSES = frozenset({"rip", "rsp", "base", "handler", "stack", "address"})


def write(_header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording's timeline as a Perfetto trace, in constant memory."""
    builder = StreamingTraceProtoBuilder(file)
    for packet in _descriptors():
        builder.write_packet(packet)
    flows = count(1)
    sleeping = 0
    for mark in marks(events):
        packet = _packet(mark)
        event = None if isinstance(mark, End) else mark.event
        if isinstance(event, WakeScheduled):
            sleeping = next(flows)
            packet.track_event.flow_ids.append(sleeping)
        elif isinstance(event, Woken):
            if sleeping:
                packet.track_event.terminating_flow_ids.append(sleeping)
            sleeping = 0
        builder.write_packet(packet)
        if isinstance(event, SignalEmitted):
            builder.write_packet(_counter(event.at_ns, _SIGNAL_VALUE, event.value))
        elif isinstance(event, Woken) and event.latency_ns is not None:
            builder.write_packet(_counter(event.at_ns, _WAKE_LATENCY, event.latency_ns))


def _descriptors() -> Iterable[Any]:
    """The tracks, all under one, in the order of `Track`."""
    explicit = TrackDescriptor.ChildTracksOrdering.EXPLICIT
    first = Packet(trusted_packet_sequence_id=_SEQUENCE, sequence_flags=Packet.SEQ_INCREMENTAL_STATE_CLEARED)
    first.track_descriptor.CopyFrom(TrackDescriptor(uuid=_ROOT, name="Aether Enclave", child_ordering=explicit))
    yield first
    for rank, (track, uuid) in enumerate(_UUIDS.items()):
        yield _track(TrackDescriptor(uuid=uuid, name=track.value, parent_uuid=_ROOT, sibling_order_rank=rank))
    nanoseconds = CounterDescriptor(unit=CounterDescriptor.UNIT_TIME_NS)
    counters = ((_SIGNAL_VALUE, "Signal value", CounterDescriptor()), (_WAKE_LATENCY, "Wake latency", nanoseconds))
    for rank, (uuid, name, counter) in enumerate(counters, start=len(_UUIDS)):
        yield _track(TrackDescriptor(uuid=uuid, name=name, parent_uuid=_ROOT, sibling_order_rank=rank, counter=counter))


def _track(descriptor: Any) -> Any:
    return Packet(trusted_packet_sequence_id=_SEQUENCE, track_descriptor=descriptor)


def _packet(mark: Mark) -> Any:
    if isinstance(mark, End):
        event = TrackEvent(type=TrackEvent.TYPE_SLICE_END, track_uuid=_UUIDS[mark.track])
        ended = DebugAnnotation(name="end")
        if mark.event is None:
            ended.string_value = "the recording ends"
        else:
            ended.dict_entries.extend(_annotations(mark.event))
        event.debug_annotations.append(ended)
    else:
        kind = TrackEvent.TYPE_SLICE_BEGIN if isinstance(mark, Begin) else TrackEvent.TYPE_INSTANT
        event = TrackEvent(type=kind, track_uuid=_UUIDS[mark.track], name=mark.name)
        event.debug_annotations.extend(_annotations(mark.event))
    return _at(mark.at_ns, event)


def _annotations(event: Event) -> list[Any]:
    found = [DebugAnnotation(name="kind", string_value=str(type(event).__struct_config__.tag))]
    for name in type(event).__struct_fields__:
        value = getattr(event, name)
        if value is None or name == "at_ns":
            continue
        if isinstance(value, bool):
            found.append(DebugAnnotation(name=name, bool_value=value))
        elif isinstance(value, str):
            found.append(DebugAnnotation(name=name, string_value=value))
        elif name in _ADDRESSES:
            found.append(DebugAnnotation(name=name, pointer_value=value))
        elif value < 0:
            found.append(DebugAnnotation(name=name, int_value=value))
        else:
            found.append(DebugAnnotation(name=name, uint_value=value))
    return found


def _counter(at_ns: int, uuid: int, value: int) -> Any:
    return _at(at_ns, TrackEvent(type=TrackEvent.TYPE_COUNTER, track_uuid=uuid, counter_value=value))


def _at(at_ns: int, event: Any) -> Any:
    return Packet(timestamp=at_ns, trusted_packet_sequence_id=_SEQUENCE, track_event=event)
