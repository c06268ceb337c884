"""Assertions about runs and recordings. The failure message is the guarantee's report."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from enclave_sim import guarantees
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import EventKind, kind_of_event, name_of_kind
from enclave_sim.guarantees import Finding, Report, Run, Scenario, observe_scenario
from enclave_sim.guarantees.judges.noninterference import context
from enclave_sim.recording.format import Header
from enclave_sim.recording.recording import Recording
from machine.events import Event

_DEFAULT_LIMIT_NS = Scenario("").limit_ns
_SHOWN = 8


def assert_deterministic(payload: Any = "beacon", *, runs: int = 3, **options: Any) -> Report:
    """Run a payload several times, each in a fresh enclave, and assert that all runs are equal, byte for byte.

    Args:
        payload: As for `Enclave`, or a Scenario, which has its own options.
        runs: The number of runs, at least 2.
        **options: Those of `enclave_sim.guarantees.observe`.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: Two runs differ. It is an AssertionError.
        ConfigurationError: `runs` is less than 2, or an option is not possible.
    """
    __tracebackhide__ = True
    if runs < 2:
        raise ConfigurationError(f"runs is {runs}; determinism needs at least two to compare")
    scenario = _scenario(payload, options)
    return _hold(guarantees.deterministic([observe_scenario(scenario) for _ in range(runs)]))


def assert_zero_trace(runs: Run | Sequence[Run]) -> Report:
    """Assert that nothing is left in DORMANT, and that nothing was left for the next context at any switch.

    Args:
        runs: One or more runs of `observe`.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: Something was left. It is an AssertionError.
        ConfigurationError: There is no run.
    """
    __tracebackhide__ = True
    return _hold(guarantees.zero_trace(_several(runs)))


def assert_isolated(runs: Run | Sequence[Run]) -> Report:
    """Assert that code in ring 3 changed only the guest's memory, and that the page tables are sound.

    Args:
        runs: One or more runs of `observe`.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: Isolation was violated. It is an AssertionError.
        ConfigurationError: There is no run.
    """
    __tracebackhide__ = True
    return _hold(guarantees.isolated(_several(runs)))


def assert_jitter_free(runs: Run | Sequence[Run]) -> Report:
    """Assert that every timer wake has the same latency, and that none came late.

    Args:
        runs: One or more runs of `observe`.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: A wake differs or came late. It is an AssertionError.
        ConfigurationError: There is no run.
    """
    __tracebackhide__ = True
    return _hold(guarantees.jitter_free(_several(runs)))


def assert_attested(runs: Run | Sequence[Run]) -> Report:
    """Assert that everything was measured before use, and no cycle began without the quote that the policy requires.

    Args:
        runs: One or more runs of `observe`.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: A measurement or a quote is missing. It is an AssertionError.
        ConfigurationError: There is no run.
    """
    __tracebackhide__ = True
    return _hold(guarantees.attested(_several(runs)))


def assert_noninterference(first: Run, second: Run) -> Report:
    """Assert that two runs that differ only in a secret differ only in declared output.

    Args:
        first: A run of `observe`.
        second: The same scenario with another secret.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: The runs differ elsewhere. It is an AssertionError.
        NoEvidence: No guest could see that the secrets differ.
    """
    __tracebackhide__ = True
    return _hold(guarantees.noninterference(first, second))


def assert_short_lived(
    payload: Any = "beacon",
    secret: str = "data",
    *,
    within_ns: int | None = None,
    only_in: Collection[str] | None = None,
    **options: Any,
) -> Report:
    """Assert that copies and derivatives of a secret are only in some places, and not for long.

    Args:
        payload: As for `Enclave`, or a Scenario, which has its own options.
        secret: As for `enclave_sim.guarantees.ShortLived`.
        within_ns: The longest that a place may hold it, in ns of virtual time.
        only_in: The places that may hold it.
        **options: Those of `enclave_sim.guarantees.observe`.

    Returns:
        The report of the guarantee.

    Raises:
        GuaranteeBroken: A place held it for too long, or should not have held it. It is an AssertionError.
        NoEvidence: The run has no such secret.
        ConfigurationError: A place does not exist, or an option is not possible.
    """
    __tracebackhide__ = True
    return _hold(guarantees.short_lived(_scenario(payload, options), secret, within_ns=within_ns, only_in=only_in))


def assert_same_recording(first: Recording, second: Recording) -> None:
    """Assert that two recordings are equal, header included.

    Args:
        first: A recording.
        second: Another one.

    Raises:
        AssertionError: They differ. The message shows each header difference and the first event that differs.
    """
    __tracebackhide__ = True
    found = [*_header_differences(first.header, second.header), *_first_difference(first.events, second.events)]
    if found:
        raise AssertionError("\n".join(["the recordings are not the same", *(f"  {line}" for line in found)]))


def assert_events(recorded: Recording | Run, kinds: Iterable[EventKind]) -> list[Event]:
    """Assert that events of these kinds happened in this order. Other events may come between them.

    Args:
        recorded: A recording or a run.
        kinds: Names of kinds, such as `"host_called"`, or event types.

    Returns:
        The events found, one for each kind.

    Raises:
        AssertionError: One is missing. The message shows the events found instead.
        ConfigurationError: No kind is given, or a kind does not exist.
    """
    __tracebackhide__ = True
    wanted = [kind_of_event(kind) for kind in kinds]
    if not wanted:
        raise ConfigurationError("no kind of event is given to look for")
    events, found, at = recorded.events, list[Event](), 0
    for kind in wanted:
        index = next((i for i in range(at, len(events)) if isinstance(events[i], kind)), None)
        if index is None:
            raise AssertionError("\n".join(_missing(kind, found, events[at:])))
        found.append(events[index])
        at = index + 1
    return found


def _hold(report: Report) -> Report:
    __tracebackhide__ = True
    return report.check()


def _several(runs: Run | Sequence[Run]) -> Sequence[Run]:
    several = [runs] if isinstance(runs, Run) else list(runs)
    if not several:
        raise ConfigurationError("there is no run to judge")
    return several


def _scenario(payload: Any, options: dict[str, Any]) -> Scenario:
    if isinstance(payload, Scenario):
        if options:
            raise ConfigurationError(f"a Scenario has its own options; {', '.join(options)} cannot be given with it")
        return payload
    inputs, limit_ns = tuple(options.pop("inputs", ())), options.pop("limit_ns", _DEFAULT_LIMIT_NS)
    return Scenario(payload, EnclaveOptions.of(**options), inputs, limit_ns)


def _header_differences(first: Header, second: Header) -> list[str]:
    ours, theirs = (msgspec.to_builtins(header) for header in (first, second))
    ours, theirs = (fields.pop("configuration") | fields for fields in (ours, theirs))
    return [
        f"header, {name}: {ours.get(name)} and {theirs.get(name)}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _first_difference(ours: Sequence[Event], theirs: Sequence[Event]) -> list[str]:
    shortest = min(len(ours), len(theirs))
    index = next((i for i in range(shortest) if ours[i] != theirs[i]), shortest)
    if index == len(ours) == len(theirs):
        return []
    at_ns = ours[index].at_ns if index < len(ours) else None
    return Finding(f"they differ at event {index}", at_ns, context(list(ours), list(theirs), index)).lines()


def _missing(kind: type[Event], found: Sequence[Event], rest: Sequence[Event]) -> list[str]:
    name = name_of_kind(kind)
    where = f"after {name_of_kind(found[-1])} (event {found[-1].seq})" if found else "in the recording"
    lines = [f"there is no {name} {where}"]
    if found:
        lines.append(f"  found before: {', '.join(name_of_kind(event) for event in found)}")
    shown = [f"    event {event.seq}, {event.at_ns} ns: {name_of_kind(event)}" for event in rest[:_SHOWN]]
    lines += ["  what came:", *(shown or ["    nothing"])]
    if len(rest) > _SHOWN:
        lines.append(f"    and {len(rest) - _SHOWN} more events")
    return lines
