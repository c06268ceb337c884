"""Recordings of every kind of run, and invented ones."""

import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import UnionType
from typing import Any

from hypothesis import strategies as st

from enclave_sim import RunResult
from enclave_sim import events as enclave
from enclave_sim.events import AnyEvent
from enclave_sim.inputs import Tamper
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.format import Header
from enclave_sim.recording.recording import Recording
from enclave_sim.recording.writer import RecordingWriter
from enclave_sim.specification import Phase
from machine import events as machine
from machine.events import Event

RUNS: dict[str, tuple[str, int | None, dict[str, Any]]] = {
    "beacon": ("beacon", None, {}),
    "counter": ("counter", None, {"cycles": 3}),
    "spinner": ("spinner", 100_000_000, {}),
    "trespasser": ("trespasser", None, {}),
    "native": ("surveyor", None, {"engine": "native"}),
    "rejected": ("beacon", None, {"production": True}),
    "limit": ("beacon", 380_000, {}),
}


@dataclass(frozen=True)
class Run:
    """A run, its recording and its result."""

    recording: Recording
    result: RunResult

    def export(self, to: Format) -> bytes:
        return exported(self.recording.header, self.recording.events, to)


def exported(header: Header, events: Sequence[Event], to: Format) -> bytes:
    file = BytesIO()
    to.writer()(header, events, file)
    return file.getvalue()


HEADER = Header({"engine": "wasmtime", "cycles": 1}, "0" * 64, ("1" * 64,))


def _values(name: str, annotation: Any) -> st.SearchStrategy[Any]:
    if isinstance(annotation, UnionType):
        first, second, *_ = typing.get_args(annotation)
        if second is not type(None):  # an input
            return st.none() | st.builds(Tamper, at_ns=st.integers(0, 1 << 40))
        return st.none() | _values(name, first)
    if typing.get_origin(annotation) is typing.Literal:
        return st.sampled_from(typing.get_args(annotation))
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return st.sampled_from(list(Phase.__members__)) if name == "phase" else st.text(max_size=20)
    if name in ("ring", "from_ring", "to_ring"):
        return st.sampled_from([0, 3])
    if name == "vector":
        return st.integers(0, 255)
    if name.endswith("_ns"):
        return st.integers(-(1 << 63), (1 << 63) - 1)
    if name in ("value", "cycle") and annotation is int:
        return st.integers(0, (1 << 32) - 1)
    return st.integers(0, (1 << 64) - 1)


@st.composite
def _event_lists(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    now_ns = 0
    for kind in draw(st.lists(st.sampled_from(typing.get_args(AnyEvent)), max_size=60)):
        now_ns += draw(st.sampled_from([0, 1, 7, 100_000, 10**12]))
        hints = typing.get_type_hints(kind)
        names = [name for name in kind.__struct_fields__ if name not in ("seq", "at_ns")]
        events.append(kind(len(events), now_ns, *(draw(_values(name, hints[name])) for name in names)))
    return events


EVENT_LISTS = _event_lists()
"""Any events in order of time, with kinds in any order: impossible for an enclave, but not for a file."""


def host_calls(count: int) -> Iterator[Event]:
    """The events of very many host calls, with an occasional sleep. About eight events a call."""
    seq = 0

    def make(kind: type[Event], at_ns: int, *fields: object) -> Event:
        nonlocal seq
        seq += 1
        return kind(seq - 1, at_ns, *fields)

    yield make(machine.ModeSwitched, 0, "reset", "protected", 0x100000)
    for number, phase in enumerate(Phase):
        yield make(enclave.PhaseEntered, 1000 * number, phase.name)
        yield make(enclave.PhaseCompleted, 1000 * number + 999, phase.name, phase.target_state, 1)
    yield make(enclave.CycleBegan, 4000, 0)
    yield make(machine.RingTransition, 4000, 0, 3, "interrupt_return", None, None, 0x114000, 0x130000)
    for call in range(count):
        at_ns = 5000 + 300 * call
        yield make(enclave.HostCalled, at_ns, 1, "emit_signal", call)
        yield make(machine.InterruptRaised, at_ns, 0x80, "software", None, None, 0x114000, 3)
        yield make(machine.InterruptDelivered, at_ns, 0x80, 0x101A10, 0x121FD8)
        yield make(machine.RingTransition, at_ns, 3, 0, "software_interrupt", 0x80, None, 0x101A10, 0x121FD8)
        yield make(enclave.SignalEmitted, at_ns + 20, call)
        yield make(enclave.Scrubbed, at_ns + 150, "call_stack", 0x120000, 8144, "host_call", True)
        yield make(machine.RingTransition, at_ns + 200, 0, 3, "interrupt_return", None, None, 0x114000, 0x130000)
        yield make(enclave.HostReturned, at_ns + 200, 1, 0)


def save_host_calls(path: Path, count: int) -> None:
    with RecordingWriter.open(path, HEADER) as writer:
        for event in host_calls(count):
            writer.record(event)
