"""A Perfetto trace written by Perfetto's own classes: what the exporter must write, byte for byte."""

from collections.abc import Iterable
from itertools import count
from typing import Any, BinaryIO

import msgspec
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import CounterDescriptor, Trace, TracePacket, TrackEvent

from enclave_sim.events import SignalEmitted, WakeScheduled, Woken, name_of_kind
from enclave_sim.recording.exports.spans import Begin, End, Track, marks
from enclave_sim.recording.format import Header
from machine.events import Event

_SEQUENCE = 1
_ROOT = 1
_UUIDS = {track: uuid for uuid, track in enumerate(Track, start=_ROOT + 1)}
_SIGNAL_VALUE, _WAKE_LATENCY = _ROOT + len(_UUIDS) + 1, _ROOT + len(_UUIDS) + 2
_COUNTERS = {_SIGNAL_VALUE: "Signal value", _WAKE_LATENCY: "Wake latency"}
_PACKETS_AT_A_TIME = 512
_ADDRESSES = frozenset({"rip", "rsp", "base", "handler", "stack", "address"})


def write(_header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording's timeline as a Perfetto trace, in constant memory."""
    writer = _Writer(file)
    _describe_tracks(writer)
    wakes, sleeping = count(1), 0
    for mark in marks(events):
        track_event = writer.track_event(mark.at_ns, _UUIDS[mark.track])
        if isinstance(mark, End):
            track_event.type = TrackEvent.TYPE_SLICE_END
            _annotate_end(track_event, mark.event)
            continue
        event = mark.event
        track_event.type = TrackEvent.TYPE_SLICE_BEGIN if isinstance(mark, Begin) else TrackEvent.TYPE_INSTANT
        track_event.name = name_of(mark.name)
        _annotate(track_event.debug_annotations, event)
        if isinstance(event, WakeScheduled):
            sleeping = next(wakes)
            track_event.flow_ids.append(sleeping)
        elif isinstance(event, Woken):
            if sleeping:
                track_event.terminating_flow_ids.append(sleeping)
            sleeping = 0
            if event.latency_ns is not None:
                writer.count(event.at_ns, _WAKE_LATENCY, event.latency_ns)
        elif isinstance(event, SignalEmitted):
            writer.count(event.at_ns, _SIGNAL_VALUE, event.value)
    writer.flush()


def name_of(text: str) -> str:
    """Return the name of a slice. The trace processor would end it at a null character."""
    return text.replace("\0", "\\0")


class _Writer:
    """Collects packets, and writes some at a time: the encoding of a trace is the concatenation of its parts."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._part = Trace()

    def packet(self) -> Any:
        """Add a packet. Fill it in before you add the next."""
        if len(self._part.packet) >= _PACKETS_AT_A_TIME:
            self.flush()
        return self._part.packet.add(trusted_packet_sequence_id=_SEQUENCE)

    def track_event(self, at_ns: int, uuid: int) -> Any:
        """Add an event on a track."""
        packet = self.packet()
        packet.timestamp = at_ns
        packet.track_event.track_uuid = uuid
        return packet.track_event

    def count(self, at_ns: int, uuid: int, value: int) -> None:
        """Add a value of a counter."""
        event = self.track_event(at_ns, uuid)
        event.type, event.counter_value = TrackEvent.TYPE_COUNTER, value

    def flush(self) -> None:
        """Write the packets collected so far."""
        self._file.write(self._part.SerializeToString())
        self._part = Trace()  # clearing a trace does not release its memory


def _describe_tracks(writer: _Writer) -> None:
    """Describe the tracks, all under one, in the order of `Track`; the counters come last."""
    first = writer.packet()
    first.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    root = first.track_descriptor
    root.uuid, root.name, root.child_ordering = _ROOT, "Aether Enclave", root.ChildTracksOrdering.EXPLICIT
    names = {uuid: track.value for track, uuid in _UUIDS.items()} | _COUNTERS
    for rank, (uuid, name) in enumerate(names.items()):
        descriptor = writer.packet().track_descriptor
        descriptor.uuid, descriptor.name = uuid, name
        descriptor.parent_uuid, descriptor.sibling_order_rank = _ROOT, rank
        if uuid in _COUNTERS:
            timed = uuid == _WAKE_LATENCY
            descriptor.counter.unit = CounterDescriptor.UNIT_TIME_NS if timed else CounterDescriptor.UNIT_UNSPECIFIED


def _annotate_end(track_event: Any, event: Event | None) -> None:
    ended = track_event.debug_annotations.add(name="end")
    if event is None:
        ended.string_value = "the recording ends"
    else:
        _annotate(ended.dict_entries, event)


def _annotate(annotations: Any, event: Event) -> None:
    """Add all fields of an event except the time, which the packet has."""
    annotations.add(name="kind", string_value=name_of_kind(event))
    for name in type(event).__struct_fields__:
        value = getattr(event, name)
        if value is None or name == "at_ns":
            continue
        if isinstance(value, msgspec.Struct):
            value = msgspec.json.encode(value).decode()
        if isinstance(value, bool):
            annotations.add(name=name, bool_value=value)
        elif isinstance(value, str):
            annotations.add(name=name, string_value=value)
        elif name in _ADDRESSES:
            annotations.add(name=name, pointer_value=value)
        elif value < 0:
            annotations.add(name=name, int_value=value)
        else:
            annotations.add(name=name, uint_value=value)
