"""Strategies for inputs of an enclave. Times are virtual nanoseconds.

All of them shrink towards no inputs, then to early and simple ones. If `near` is given, half of the times are within
500 ns of one of its times, where handlers and deadlines meet.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import EventKind, kind_of_event, name_of_kind
from enclave_sim.inputs import (
    LATEST_NS,
    AfterEvent,
    AnyInput,
    ExternalInterrupt,
    MemoryFault,
    SensorValue,
    Tamper,
    UplinkReady,
)
from enclave_sim.memory_map import region, regions
from enclave_sim.strategies.bounds import check_range

_NEAR_NS = 500
_SENSORS = 2
_MOST = 1000
GUEST_REGIONS = ("heap", "guest_stack", "arena")
"""The regions in which the enclave promises to survive a fault: none contains code, and all are scrubbed."""


def times(start_ns: int, end_ns: int, *, near: Sequence[int] = ()) -> st.SearchStrategy[int]:
    """Draw times from `start_ns` to `end_ns`. Raises ConfigurationError if there are none."""
    if not 0 <= start_ns <= end_ns:
        raise ConfigurationError(
            f"times from {start_ns} to {end_ns} ns: the start must be 0 or more, and at most the end"
        )
    anywhere = st.integers(start_ns, end_ns)
    if not near:
        return anywhere
    shift = st.integers(-_NEAR_NS, _NEAR_NS)
    around = st.builds(lambda at, by: min(max(at + by, start_ns), end_ns), st.sampled_from(list(near)), shift)
    return st.one_of(anywhere, around)


def _several(one: st.SearchStrategy[AnyInput], max_size: int) -> st.SearchStrategy[list[AnyInput]]:
    check_range("max_size", max_size, 0, _MOST)
    return st.lists(one, max_size=max_size)


def interrupt_schedules(
    start_ns: int, end_ns: int, *, near: Sequence[int] = (), tamper: bool = True, max_size: int = 6
) -> st.SearchStrategy[list[AnyInput]]:
    """Draw external interrupts and pulls of the tamper line.

    Args:
        start_ns: The earliest time.
        end_ns: The latest time.
        near: Times near which half of the inputs occur.
        tamper: Also pull the tamper line, which annihilates the enclave.
        max_size: The most inputs, 0 to 1000.

    Returns:
        A strategy for lists, for `inputs` of `Enclave`.

    Raises:
        ConfigurationError: There is no time from `start_ns` to `end_ns`, or `max_size` is out of range.
    """
    at = times(start_ns, end_ns, near=near)
    kinds: list[st.SearchStrategy[AnyInput]] = [st.builds(ExternalInterrupt, at_ns=at)]
    return _several(st.one_of(kinds + ([st.builds(Tamper, at_ns=at)] if tamper else [])), max_size)


def host_answers(
    start_ns: int, end_ns: int, *, near: Sequence[int] = (), max_size: int = 6
) -> st.SearchStrategy[list[AnyInput]]:
    """Draw changes of the node's answers to host calls: sensor values, and the readiness of the uplink.

    Args:
        start_ns: The earliest time.
        end_ns: The latest time.
        near: Times near which half of the inputs occur, such as those of host calls.
        max_size: The most inputs, 0 to 1000.

    Returns:
        A strategy for lists, for `inputs` of `Enclave`.

    Raises:
        ConfigurationError: There is no time from `start_ns` to `end_ns`, or `max_size` is out of range.
    """
    return _several(_answers(at_ns=times(start_ns, end_ns, near=near)), max_size)


def _answers(**when: st.SearchStrategy[Any]) -> st.SearchStrategy[AnyInput]:
    return st.one_of(
        st.builds(UplinkReady, ready=st.booleans(), **when),
        st.builds(SensorValue, sensor=st.integers(0, _SENSORS - 1), value=st.integers(0, (1 << 32) - 1), **when),
    )


def memory_faults(
    start_ns: int, end_ns: int, *, near: Sequence[int] = (), where: Sequence[str] = GUEST_REGIONS, max_size: int = 3
) -> st.SearchStrategy[list[AnyInput]]:
    """Draw inverted bits in regions of the memory map.

    Args:
        start_ns: The earliest time.
        end_ns: The latest time.
        near: Times near which half of the inputs occur.
        where: Names of regions; by default those in which the enclave promises to survive a fault.
        max_size: The most inputs, 0 to 1000.

    Returns:
        A strategy for lists, for `inputs` of `Enclave`.

    Raises:
        ConfigurationError: There is no such region, no time from `start_ns` to `end_ns`, or `max_size` is out of range.
    """
    known = [one.name for one in regions()]
    unknown = [name for name in where if name not in known]
    if unknown or not where:
        raise ConfigurationError(f"there is no region {', '.join(unknown) or 'given'}; there are {', '.join(known)}")
    spans = [region(name) for name in where]
    address = st.one_of([st.integers(span.base, span.end - 1) for span in spans])
    at = times(start_ns, end_ns, near=near)
    bits = st.integers(0, 7).map(lambda bit: 1 << bit)
    return _several(st.builds(MemoryFault, at_ns=at, address=address, bits=bits), max_size)


def inputs_after(
    events: Sequence[EventKind | AfterEvent],
    *,
    within_ns: int = 2000,
    most: int = 3,
    tamper: bool = True,
    max_size: int = 6,
) -> st.SearchStrategy[list[AnyInput]]:
    """Draw interrupts, pulls of the tamper line and changes of answers that follow events of the run.

    They shrink to the first event, and to its own time. An input whose event does not happen never comes.

    Args:
        events: Kinds of events, by name or type; or `AfterEvent`, to require values of its fields. `count` is drawn.
        within_ns: The longest time after the event.
        most: The highest number of an event among those that match, at least 1.
        tamper: Also pull the tamper line, which annihilates the enclave.
        max_size: The most inputs, 0 to 1000.

    Returns:
        A strategy for lists, for `inputs` of `Enclave`.

    Raises:
        ConfigurationError: There is no event, or no such kind; or `within_ns`, `most` or `max_size` is out of range.
    """
    check_range("within_ns", within_ns, 0, LATEST_NS)
    check_range("most", most, 1, _MOST)
    if not events:
        raise ConfigurationError("no kind of event is given for inputs to follow")
    followed = [one if isinstance(one, AfterEvent) else AfterEvent(name_of_kind(kind_of_event(one))) for one in events]
    for one in followed:
        kind_of_event(one.event)
    after = st.builds(
        lambda one, count: AfterEvent(one.event, one.fields, count), st.sampled_from(followed), st.integers(1, most)
    )
    when: dict[str, st.SearchStrategy[Any]] = {"at_ns": st.integers(0, within_ns), "after": after}
    kinds: list[st.SearchStrategy[AnyInput]] = [st.builds(ExternalInterrupt, **when), _answers(**when)]
    return _several(st.one_of(kinds + ([st.builds(Tamper, **when)] if tamper else [])), max_size)
