"""Recordings for Perfetto (ui.perfetto.dev): its native protobuf, as track events.

Timestamps are virtual nanoseconds. The fields of an event are the debug annotations of the slice that it begins, and
under `end` in those of the slice that it ends. Perfetto's own classes write the descriptions of the tracks; the events,
of which there may be millions, are encoded here, as `protozero` numbers their fields, because that is much faster.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, BinaryIO

import msgspec
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import CounterDescriptor, Trace, TracePacket

from enclave_sim.events import KINDS, InputTaken, SignalEmitted, WakeScheduled, Woken, name_of_kind
from enclave_sim.recording.exports.protobuf import Kept, fixed64, message, varint
from enclave_sim.recording.exports.spans import Begin, End, Track, marks
from enclave_sim.recording.format import Header
from machine.events import Event

_SEQUENCE = 1
_ROOT = 1
_UUIDS = {track: uuid for uuid, track in enumerate(Track, start=_ROOT + 1)}
_SIGNAL_VALUE, _WAKE_LATENCY = _ROOT + len(_UUIDS) + 1, _ROOT + len(_UUIDS) + 2
_COUNTERS = {_SIGNAL_VALUE: "Signal value", _WAKE_LATENCY: "Wake latency"}
_BYTES_AT_A_TIME = 1 << 16
_ADDRESSES = frozenset({"rip", "rsp", "base", "handler", "stack", "address"})
_WORD = (1 << 64) - 1
# Fields, as number and wire type: of Trace, TracePacket, TrackEvent and DebugAnnotation.
_PACKET = b"\x0a"
_TIMESTAMP, _IN_SEQUENCE = b"\x40", b"\x50" + varint(_SEQUENCE) + b"\x5a"
_ANNOTATION, _TYPE, _TRACK_UUID, _NAME = b"\x22", b"\x48", b"\x58", b"\xba\x01"
_COUNTER_VALUE, _FLOW, _TERMINATING_FLOW = b"\xf0\x01", b"\xf9\x02", b"\x81\x03"
_BOOL, _UINT, _INT, _STRING, _POINTER, _KEY, _ENTRY = b"\x10", b"\x18", b"\x20", b"\x32", b"\x38", b"\x52", b"\x5a"
_MORE_THAN_A_MARK = frozenset({WakeScheduled, Woken, SignalEmitted})
_BEGIN, _END, _INSTANT, _COUNTER = (_TYPE + varint(value) for value in (1, 2, 3, 4))


def write(_header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording's timeline as a Perfetto trace, in constant memory."""
    writer, annotations = _Writer(file), _Annotations()
    file.write(_described_tracks())
    names: dict[tuple[Track, str], bytes] = Kept(_track_and_name)
    ends = {track: _END + _TRACK_UUID + varint(uuid) for track, uuid in _UUIDS.items()}
    wakes, sleeping = count(1), 0
    for mark in marks(events):
        if isinstance(mark, End):
            writer.event(mark.at_ns, annotations.of_end(mark.event) + ends[mark.track])
            continue
        event = mark.event
        kind = _BEGIN if isinstance(mark, Begin) else _INSTANT
        body = annotations.of(event) + kind + names[mark.track, mark.name]
        if type(event) not in _MORE_THAN_A_MARK:
            writer.event(mark.at_ns, body)
        elif isinstance(event, WakeScheduled):
            sleeping = next(wakes)
            writer.event(mark.at_ns, body + _FLOW + fixed64(sleeping))
        elif isinstance(event, Woken):
            writer.event(mark.at_ns, body + (_TERMINATING_FLOW + fixed64(sleeping) if sleeping else b""))
            sleeping = 0
            if event.latency_ns is not None:
                writer.count(event.at_ns, _WAKE_LATENCY, event.latency_ns)
        elif isinstance(event, SignalEmitted):
            writer.event(mark.at_ns, body)
            writer.count(event.at_ns, _SIGNAL_VALUE, event.value)
    writer.flush()


def name_of(text: str) -> str:
    """Return the name of a slice. The trace processor would end it at a null character."""
    return text.replace("\0", "\\0")


def _track_and_name(key: tuple[Track, str]) -> bytes:
    track, name = key
    return _TRACK_UUID + varint(_UUIDS[track]) + _NAME + message(name_of(name).encode())


class _Writer:
    """Collects packets, and writes some at a time: the encoding of a trace is the concatenation of its parts."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._part = bytearray()
        self._at_ns, self._stamp = -1, b""

    def event(self, at_ns: int, body: bytes) -> None:
        """Add a packet with an event on a track."""
        if at_ns != self._at_ns:  # several events often have the same time
            self._at_ns, self._stamp = at_ns, _TIMESTAMP + varint(at_ns) + _IN_SEQUENCE
        size = len(body)
        head = self._stamp + varint(size)
        part = self._part
        part += _PACKET + varint(len(head) + size) + head
        part += body
        if len(part) >= _BYTES_AT_A_TIME:
            self.flush()

    def count(self, at_ns: int, uuid: int, value: int) -> None:
        """Add a value of a counter."""
        self.event(at_ns, _COUNTER + _TRACK_UUID + varint(uuid) + _COUNTER_VALUE + varint(value & _WORD))

    def flush(self) -> None:
        """Write the packets collected so far."""
        self._file.write(self._part)
        self._part.clear()


class _Annotations:
    """Encodes the fields of events, except the time, which the packet has. What is frequent is kept."""

    def __init__(self) -> None:
        self._fields = {kind: _Fields(kind) for kind in KINDS.values()}
        self._number, self._seq = -1, b""

    def of(self, event: Event) -> bytes:
        """Return them as annotations."""
        fields = self._fields[type(event)]
        if event.seq != self._number:
            self._number, self._seq = event.seq, _seq(event.seq)
        return fields.kind + self._seq + fields.own(event, _ANNOTATION)

    def of_end(self, event: Event | None) -> bytes:
        """Return them under an annotation of their own; None is the end of the recording."""
        if event is None:
            return _RECORDING_ENDS
        fields = self._fields[type(event)]
        if event.seq != self._number:
            self._number, self._seq = event.seq, _seq(event.seq)
        entries = fields.kind_entry + self._seq + fields.own(event, _ENTRY)
        return _ANNOTATION + varint(len(_ENDED) + len(entries)) + _ENDED + entries


_ENDED, _SEQ = _KEY + message(b"end"), _KEY + message(b"seq")
_RECORDING_ENDS = _ANNOTATION + message(_STRING + message(b"the recording ends") + _ENDED)
_SEQ_BEGINS = [varint(1 + length + len(_SEQ)) + _UINT for length in range(11)]
"""By the length of the encoded number."""


def _seq(seq: int) -> bytes:
    number = varint(seq)
    return _SEQ_BEGINS[len(number)] + number + _SEQ


_values = msgspec.structs.astuple


class _Fields:
    """Encodes the fields of one kind of event that not every kind has."""

    def __init__(self, kind: type[Event]) -> None:
        seq, at_ns, *own = kind.__struct_fields__
        assert (seq, at_ns) == ("seq", "at_ns")
        name = message(_STRING + message(name_of_kind(kind).encode()) + _KEY + message(b"kind"))
        self.kind, self.kind_entry = _ANNOTATION + name + _ANNOTATION, _ENTRY + name + _ENTRY
        self._encoders = [_encoder(one) for one in own]
        self._kept = {tag: Kept(partial(self._encode, tag)) for tag in (_ANNOTATION, _ENTRY)}
        self._is_kept = kind is not InputTaken  # an input may not be hashable

    def own(self, event: Event, tag: bytes) -> bytes:
        """Return the fields, each after `tag`."""
        values = _values(event)[2:]
        return self._kept[tag][values] if self._is_kept else self._encode(tag, values)

    def _encode(self, tag: bytes, values: tuple[Any, ...]) -> bytes:
        parts = [encode(value) for encode, value in zip(self._encoders, values, strict=True) if value is not None]
        return tag.join([b"", *parts])


def _encoder(name: str) -> Callable[[Any], bytes]:
    key, is_address = _KEY + message(name.encode()), name in _ADDRESSES

    def encode(value: Any) -> bytes:
        if isinstance(value, bool):
            return message(_BOOL + varint(value) + key)
        if isinstance(value, str):
            return message(_STRING + message(value.encode()) + key)
        if is_address:
            return message(_POINTER + varint(value) + key)
        return message((_INT if value < 0 else _UINT) + varint(value & _WORD) + key)

    kept = Kept(encode)

    def encode_any(value: Any) -> bytes:
        return encode(msgspec.json.encode(value).decode()) if isinstance(value, msgspec.Struct) else kept[value]

    return encode_any if name == "given" else kept.__getitem__


def _described_tracks() -> bytes:
    """Describe the tracks, all under one, in the order of `Track`; the counters come last."""
    trace = Trace()
    first = trace.packet.add(trusted_packet_sequence_id=_SEQUENCE)
    first.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    root = first.track_descriptor
    root.uuid, root.name, root.child_ordering = _ROOT, "Aether Enclave", root.ChildTracksOrdering.EXPLICIT
    names = {uuid: track.value for track, uuid in _UUIDS.items()} | _COUNTERS
    for rank, (uuid, name) in enumerate(names.items()):
        descriptor = trace.packet.add(trusted_packet_sequence_id=_SEQUENCE).track_descriptor
        descriptor.uuid, descriptor.name = uuid, name
        descriptor.parent_uuid, descriptor.sibling_order_rank = _ROOT, rank
        if uuid in _COUNTERS:
            timed = uuid == _WAKE_LATENCY
            descriptor.counter.unit = CounterDescriptor.UNIT_TIME_NS if timed else CounterDescriptor.UNIT_UNSPECIFIED
    encoded: bytes = trace.SerializeToString()
    return encoded
