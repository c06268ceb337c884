"""Queries: the events of a run that are of some kind, in some time, of some ring transition.

from enclave_sim.query import select

for event in select(read_events(path), kind="scrubbed", between=(0, 300_000)):
    print(event.region, event.size)
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import get_args

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import AnyEvent
from machine.events import Event, RingTransition

KINDS: dict[str, type[Event]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)}
"""Every kind of event by the name that recordings have for it."""
EventKind = str | type[Event]
"""As recordings name it (`cycle_began`), or its type (`CycleBegan`)."""
_RINGS = range(4)


def select(
    events: Iterable[Event],
    *,
    kind: EventKind | Iterable[EventKind] | None = None,
    between: tuple[int, int] | None = None,
    ring: tuple[int, int] | None = None,
) -> Iterator[Event]:
    """Those events, one by one, for which all that is given is true: they are of one of the kinds; they happened
    from `between[0]` to `between[1]` ns, both included; they are transitions from `ring[0]` to `ring[1]`.

    Raises ConfigurationError at once for a kind or ring that does not exist, and a time that ends before it begins.
    """
    kinds = None if kind is None else _kinds(kind)
    if between is not None and not 0 <= between[0] <= between[1]:
        raise ConfigurationError(
            f"times from {between[0]} to {between[1]} ns: the end must not come before the beginning, nor that before 0"
        )
    if ring is not None and (ring[0] == ring[1] or not set(_RINGS).issuperset(ring)):
        raise ConfigurationError(f"no transition from ring {ring[0]} to ring {ring[1]}: there are rings 0 to 3")
    return _select(events, kinds, between, ring)


def kind_of_event(kind: EventKind) -> type[Event]:
    """The type of a kind. Raises ConfigurationError, which lists what there is, for one that does not exist."""
    if isinstance(kind, type):
        return kind
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigurationError(f"{kind!r} is no kind of event; {hint}there are {', '.join(KINDS)}")
    return KINDS[kind]


def name_of_kind(event: Event) -> str:
    """What recordings call the kind of an event."""
    return str(event.__struct_config__.tag)


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
