"""Strategies for what reaches an enclave from outside, and when. Times are virtual nanoseconds.

All of them shrink towards no inputs at all, then to early and simple ones. Where `near` is given, half of the times
lie within half a microsecond of one of its moments: that is where handlers and deadlines meet.
"""

from collections.abc import Sequence

from hypothesis import strategies as st

from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import AnyInput, ExternalInterrupt, MemoryFault, SensorValue, Tamper, UplinkReady
from enclave_sim.memory_map import region, regions
from enclave_sim.strategies.bounds import check_range

_NEAR_NS = 500
_SENSORS = 2
_MOST = 1000
GUEST_REGIONS = ("heap", "guest_stack", "arena")
"""What the enclave promises to survive a fault in: nothing there is code, and all of it is scrubbed."""


def times(start_ns: int, end_ns: int, *, near: Sequence[int] = ()) -> st.SearchStrategy[int]:
    """Moments from `start_ns` to `end_ns`. Raises ConfigurationError where there is none between."""
    if not 0 <= start_ns <= end_ns:
        raise ConfigurationError(f"times from {start_ns} to {end_ns} ns: the end must not come before the start, nor 0")
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
    """External interrupts and, with `tamper`, NMIs of the tamper line."""
    at = times(start_ns, end_ns, near=near)
    kinds: list[st.SearchStrategy[AnyInput]] = [st.builds(ExternalInterrupt, at_ns=at)]
    return _several(st.one_of(kinds + ([st.builds(Tamper, at_ns=at)] if tamper else [])), max_size)


def host_answers(start_ns: int, end_ns: int, *, max_size: int = 6) -> st.SearchStrategy[list[AnyInput]]:
    """What the node answers when it is asked: sensor values, and whether the uplink is ready."""
    at = times(start_ns, end_ns)
    return _several(
        st.one_of(
            st.builds(UplinkReady, at_ns=at, ready=st.booleans()),
            st.builds(SensorValue, at_ns=at, sensor=st.integers(0, _SENSORS - 1), value=st.integers(0, (1 << 32) - 1)),
        ),
        max_size,
    )


def memory_faults(
    start_ns: int, end_ns: int, *, where: Sequence[str] = GUEST_REGIONS, max_size: int = 3
) -> st.SearchStrategy[list[AnyInput]]:
    """Inverted bits in regions of the memory map. Raises ConfigurationError for a name that is none."""
    known = [one.name for one in regions()]
    unknown = [name for name in where if name not in known]
    if unknown or not where:
        raise ConfigurationError(f"there is no region {', '.join(unknown) or 'given'}; there are {', '.join(known)}")
    spans = [region(name) for name in where]
    address = st.one_of([st.integers(span.base, span.end - 1) for span in spans])
    at = times(start_ns, end_ns)
    bits = st.integers(0, 7).map(lambda bit: 1 << bit)
    return _several(st.builds(MemoryFault, at_ns=at, address=address, bits=bits), max_size)
