"""Queries: the events of a run with given kinds, times and ring transitions.

from enclave_sim.recording.query import select

for event in select(read_events(path), kind="scrubbed", between=(0, 300_000)):
    print(event.region, event.size)
"""

from collections.abc import Iterable, Iterator

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import EventKind, kind_of_event
from enclave_sim.recording.context import Context
from machine.events import Event, RingTransition

_RINGS = range(4)


def select(
    events: Iterable[Event],
    *,
    kind: EventKind | Iterable[EventKind] | None = None,
    between: tuple[int, int] | None = None,
    ring: tuple[int, int] | None = None,
    cycle: int | None = None,
) -> Iterator[Event]:
    """Select the events that match all the given criteria.

    Args:
        events: The events.
        kind: One or several kinds, as types or by their names in recordings.
        between: The first and the last virtual time in ns, both inclusive.
        ring: A ring transition, from the first number to the second.
        cycle: Events from the beginning of this cycle, which are counted from 0, to that of the next.

    Returns:
        An iterator over the matching events, in order.

    Raises:
        ConfigurationError: A kind or ring does not exist, or the time ends before it begins. Raised immediately.
    """
    kinds = None if kind is None else _kinds(kind)
    if between is not None and not 0 <= between[0] <= between[1]:
        raise ConfigurationError(
            f"{between[0]} to {between[1]} ns is not a span of time: begin at 0 or later, and do not end before"
        )
    if ring is not None and (ring[0] == ring[1] or not set(_RINGS).issuperset(ring)):
        raise ConfigurationError(f"no transition from ring {ring[0]} to ring {ring[1]}: there are rings 0 to 3")
    if cycle is not None:
        events = _of_cycle(events, cycle)
    return _select(events, kinds, between, ring)


def _of_cycle(events: Iterable[Event], cycle: int) -> Iterator[Event]:
    context = Context()
    for event in events:
        context.read(event)
        if context.cycle == cycle:
            yield event


def _kinds(kind: EventKind | Iterable[EventKind]) -> frozenset[type[Event]]:
    several = [kind] if isinstance(kind, str | type) else list(kind)
    if not several:
        raise ConfigurationError("no kind of event is given to look for")
    return frozenset(map(kind_of_event, several))


def _select(
    events: Iterable[Event],
    kinds: frozenset[type[Event]] | None,
    between: tuple[int, int] | None,
    ring: tuple[int, int] | None,
) -> Iterator[Event]:
    first_ns, last_ns = between or (0, None)
    for event in events:
        if kinds is not None and type(event) not in kinds:
            continue
        if event.at_ns < first_ns or (last_ns is not None and event.at_ns > last_ns):
            continue
        if ring is not None and not (isinstance(event, RingTransition) and (event.from_ring, event.to_ring) == ring):
            continue
        yield event
