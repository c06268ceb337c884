"""Checks of events on which exports rely: times are in order, and every number is in range.

A recording with a correct digest may still come from another program. An event that no machine produces is refused with
a one-line error.
"""

import typing
from collections.abc import Iterable, Iterator

from enclave_sim.events import KINDS
from enclave_sim.recording.format import RecordingError
from enclave_sim.specification import Phase
from machine.events import Event

_RANGES = {"vector": (0, 255), "ring": (0, 3), "from_ring": (0, 3), "to_ring": (0, 3), "cycle": (0, (1 << 32) - 1)}
_TIME, _WORD = (-(1 << 63), (1 << 63) - 1), (0, (1 << 64) - 1)


def checked(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the same events. Raises RecordingError at the first impossible one."""
    now_ns = 0
    for event in events:
        if event.at_ns < now_ns:
            raise RecordingError(f"event {event.seq} is dated {event.at_ns} ns, before the one that precedes it")
        now_ns = event.at_ns
        for name, low, high in _NUMBERS[type(event)]:
            value = getattr(event, name)
            if value is not None and not low <= value <= high:
                raise RecordingError(f"event {event.seq}: {name} is {value}; it must be from {low} to {high}")
        phase = getattr(event, "phase", None)
        if phase is not None and phase not in Phase.__members__:
            raise RecordingError(f"event {event.seq}: there is no phase {phase!r}")
        yield event


def _numbers(kind: type[Event]) -> Iterator[tuple[str, int, int]]:
    hints = typing.get_type_hints(kind)
    for name in kind.__struct_fields__:
        if hints[name] in (int, int | None):
            yield name, *_RANGES.get(name, _TIME if name == "seq" or name.endswith("_ns") else _WORD)


_NUMBERS: dict[type[Event], list[tuple[str, int, int]]] = {kind: list(_numbers(kind)) for kind in KINDS.values()}
