"""Queries select all matching events and no others."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim import ConfigurationError, Enclave
from enclave_sim.events import KINDS, CycleBegan, Scrubbed, name_of_kind
from enclave_sim.recording.query import select
from machine.events import Event, RingTransition


def events_of(name: str) -> list[Event]:
    enclave = Enclave(name, cycles=3)
    enclave.run(30_000_000)
    assert enclave.recording is not None
    return enclave.recording.events


@cache
def recorded() -> list[Event]:
    return events_of("counter") + events_of("spinner")


@cache
def end_ns() -> int:
    return max(event.at_ns for event in recorded())


@given(
    kinds=st.none() | st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5),
    times=st.none() | st.deferred(lambda: st.tuples(*2 * [st.integers(0, end_ns())]).map(sorted)),
    ring=st.none() | st.sampled_from([(0, 3), (3, 0), (1, 2)]),
)
def test_what_is_selected_is_what_fits_everything_asked_for(kinds: Any, times: Any, ring: Any) -> None:
    between = None if times is None else (times[0], times[1])
    expected = recorded()
    if kinds is not None:
        expected = [event for event in expected if name_of_kind(event) in kinds]
    if between is not None:
        expected = [event for event in expected if event.at_ns in range(between[0], between[1] + 1)]
    if ring is not None:
        expected = [e for e in expected if isinstance(e, RingTransition) and (e.from_ring, e.to_ring) == ring]
    assert list(select(recorded(), kind=kinds, between=between, ring=ring)) == expected


def test_a_kind_is_a_name_or_a_type() -> None:
    assert list(select(recorded(), kind="cycle_began")) == list(select(recorded(), kind=CycleBegan))
    both = list(select(recorded(), kind=["cycle_began", Scrubbed]))
    assert both == [event for event in recorded() if isinstance(event, CycleBegan | Scrubbed)]
    assert both


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"kind": "scrubed"}, ["'scrubed' is not a kind", "did you mean scrubbed?", "there are mode_switched,"]),
        ({"kind": ["woken", "zzz"]}, ["'zzz' is not a kind", "residue_scanned"]),
        ({"kind": []}, ["no kind of event is given"]),
        ({"between": (5, 4)}, ["5 to 4 ns is not a span of time"]),
        ({"between": (-1, 4)}, ["-1 to 4 ns is not a span of time"]),
        ({"ring": (3, 3)}, ["ring 3 to ring 3"]),
        ({"ring": (4, 0)}, ["there are rings 0 to 3"]),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_read(query: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select(iter([]), **query)
    assert all(word in str(caught.value) for word in words)
