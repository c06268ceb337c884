"""Jitter-free, tested with written sleeps: how late, from when, and why."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import firmware
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import WakeScheduled, Woken
from enclave_sim.guarantees import Report, Run, Scenario, jitter_free, loads, observe
from enclave_sim.guarantees.judges import jitter
from enclave_sim.guarantees.judges.jitter import histogram
from machine.events import Event, Halted, InterruptRaised

WAKE_NS = 1_000_000


@cache
def observed() -> Run:
    return observe("counter", cycles=3)


def sleeping(*sleeps: tuple[int, int | None, int | None], **options: Any) -> Run:
    """A run of sleeps: when each is reported, when the processor halts, and how late it wakes."""
    events: list[Event] = []
    for at_ns, halted_ns, late_ns in sleeps:
        deadline_ns = at_ns - 2 + WAKE_NS
        events.append(WakeScheduled(0, at_ns, deadline_ns))
        if halted_ns is not None:
            events.append(Halted(0, halted_ns, True))
        source = ("external", None, None) if late_ns is None else ("timer", deadline_ns, late_ns)
        events.append(Woken(0, deadline_ns + 50, *source))
    scenario = Scenario(observed().scenario.payload, EnclaveOptions.of(**{"wake_ns": WAKE_NS, **options}))
    return replace(observed(), scenario=scenario, events=tuple(events))


def whats(report: Report) -> list[str]:
    return [finding.what for finding in report.findings]


def test_what_was_looked_at_is_counted() -> None:
    report = jitter_free([sleeping((100, 107, 0), (5000, 5009, 0)), sleeping((100, 107, 0), (900, 907, None))])
    assert report.holds
    assert report.looked_at == {"runs": 2, "wakes": 3, "latency ns": "0", "worst case ns": "7 to 9"}
    assert report.picture == (f"{0:>8} ns  {'█' * 40} 3",)


def test_without_a_sleep_there_is_nothing_to_say() -> None:
    report = jitter_free([replace(observed(), events=())])
    assert report.looked_at == {"runs": 1, "wakes": 0, "latency ns": "none", "worst case ns": "none"}
    assert report.picture == ()


def test_a_wake_that_comes_late_is_found_and_so_is_the_spread() -> None:
    report = jitter_free([sleeping((100, 107, 0), (5000, 5007, 3))])
    assert whats(report) == [
        f"a wake due at {5000 - 2 + WAKE_NS} ns came 3 ns late",
        "latency varies from 0 to 3 ns",
    ]
    assert report.findings[0].at_ns == 5000 - 2 + WAKE_NS + 50


@pytest.mark.parametrize(
    ("halted_ns", "overrun"), [(None, True), (98 + WAKE_NS - 1, False), (98 + WAKE_NS, True), (98 + WAKE_NS + 1, True)]
)
def test_a_deadline_before_the_halt_is_an_overrun(halted_ns: int | None, overrun: bool) -> None:
    late = f"a wake due at {98 + WAKE_NS} ns came 3 ns late"
    why = "overrun: the deadline came while interrupts were off: " if overrun else ""
    assert whats(jitter_free([sleeping((100, halted_ns, 3))])) == [why + late]


@pytest.mark.parametrize(("armed_before_ns", "right"), [(-1, False), (0, True), (8, True), (9, False)])
@pytest.mark.parametrize("ns_per_instruction", [1, 5])
def test_a_sleep_begins_at_most_eight_instructions_before_it_is_reported(
    armed_before_ns: int, right: bool, ns_per_instruction: int
) -> None:
    before = armed_before_ns * ns_per_instruction
    run = sleeping((1000, 1007, 0), ns_per_instruction=ns_per_instruction)
    scheduled, halted, woken = run.events
    deadline_ns = 1000 - before + WAKE_NS
    woken = Woken(0, woken.at_ns, "timer", deadline_ns, 0)
    run = replace(run, events=(WakeScheduled(0, scheduled.at_ns, deadline_ns), halted, woken))
    what = f"a sleep of {WAKE_NS} ns has its deadline {WAKE_NS - before} ns from its start"
    assert whats(jitter_free([run])) == ([] if right else [what])


def test_a_timer_that_fires_for_another_deadline_is_found() -> None:
    run = sleeping((100, 107, 0))
    other = Woken(0, 5, "timer", 77, 0)
    assert whats(jitter_free([replace(run, events=(*run.events[:2], other))])) == [
        f"the timer was to fire at {98 + WAKE_NS} ns and fired at 77 ns"
    ]


def test_a_timer_that_is_armed_at_another_distance_each_time_drifts() -> None:
    first, second = sleeping((100, 107, 0)), sleeping((100, 107, 0))
    later = WakeScheduled(0, 101, second.events[0].deadline_ns)  # type: ignore[attr-defined]
    report = jitter_free([first, replace(second, events=(later, *second.events[1:]))])
    assert whats(report) == ["deadlines are off by -3 to -2 ns: the timer drifts"]


def test_machines_of_different_speed_are_compared_among_themselves() -> None:
    slow = sleeping((100, 107, 0), ns_per_instruction=10)
    later = WakeScheduled(0, 110, slow.events[0].deadline_ns)  # type: ignore[attr-defined]
    assert jitter_free([sleeping((100, 107, 0)), replace(slow, events=(later, *slow.events[1:]))]).holds


def test_of_a_sleep_the_first_halt_counts_and_none_of_the_dormant() -> None:
    run = sleeping((100, 107, 0))
    scheduled, halted, woken = run.events
    events = (scheduled, Halted(0, 103, False), halted, Halted(0, 900, True), woken)
    assert jitter_free([replace(run, events=events)]).looked_at["worst case ns"] == "7"


def test_a_wake_that_no_sleep_came_before_is_none() -> None:
    run = sleeping((100, 107, 0))
    assert jitter_free([replace(run, events=run.events[2:])]).looked_at["wakes"] == 0
    twice = (*run.events, run.events[2])
    assert jitter_free([replace(run, events=twice)]).looked_at["wakes"] == 1


@pytest.mark.parametrize(
    ("rip", "ring", "source", "taken"),
    [
        (firmware.built_in().symbols["idle"] + 2, 0, "external", False),
        (firmware.built_in().symbols["idle"] + 1, 0, "external", True),
        (firmware.built_in().symbols["idle"] + 3, 0, "external", True),
        (0x40_0000, 3, "external", False),
        (0x10_2000, 0, "nmi", False),
    ],
)
def test_in_ring_0_interrupts_are_taken_after_hlt_alone(rip: int, ring: int, source: Any, taken: bool) -> None:
    raised = InterruptRaised(0, 55, 0x20, source, None, None, rip, ring)
    report = jitter_free([replace(observed(), events=(raised,))])
    assert whats(report) == ([f"interrupt 32 was taken in ring 0 at {rip:#x}"] if taken else [])


def test_a_histogram_shows_each_latency_in_proportion_and_none_as_nothing() -> None:
    from collections import Counter

    assert histogram(Counter({5: 1, 0: 80, 7: 40})) == (
        f"       0 ns  {'█' * 40} 80",
        "       5 ns  █ 1",
        f"       7 ns  {'█' * 20} 40",
    )


def test_loads_are_drawn_by_their_seed_and_keep_what_the_scenario_says() -> None:
    scenario = Scenario("counter", EnclaveOptions.of(sensors=(1, 2)), observed().scenario.inputs, 9_000_000)
    first, again, other = (list(loads(scenario, 2, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 4
    calm, disturbed = first[:2]
    assert (calm.payload, calm.inputs, calm.limit_ns) == ("counter", (), 9_000_000)
    assert calm.configuration.sensors == (1, 2)
    assert calm.configuration.cycles == 3
    assert 1_000 <= calm.configuration.wake_ns <= 3_000_000
    assert disturbed.options == calm.options
    assert len(disturbed.inputs) == 2
    assert all(one.at_ns >= 0 for one in disturbed.inputs)
    more = next(iter(loads(Scenario("counter", EnclaveOptions.of(cycles=5)), 1, 1)))
    assert more.configuration.cycles == 5


DRAWN = [
    *[(999095, 100000, ()), (999095, 100000, (4000185, 5248922))],
    *[(2437270, 20000, ()), (2437270, 20000, (5999713, 3936206))],
    *[(1088809, 100000, ()), (1088809, 100000, (2000181, 4538017))],
    *[(2306320, 10000000, ()), (2306320, 10000000, (3999854, 1945502))],
    *[(2663798, 100000, ()), (2663798, 100000, (6000099, 127060))],
    *[(2817103, 20000, ()), (2817103, 20000, (1999743, 2527216))],
    *[(131072, 1000000, ()), (131072, 1000000, (4000096, 5990552))],
    *[(1791694, 10000000, ()), (1791694, 10000000, (6000290, 3729751))],
]
"""Sleep, time slice and interrupts in ns for the loads of seed 3."""


def drawn(seed: int) -> list[tuple[int, int, tuple[int, ...]]]:
    found = []
    for load in loads(Scenario("counter"), 8, seed):
        configuration = load.configuration
        found.append((configuration.wake_ns, configuration.quantum_ns, tuple(one.at_ns or 0 for one in load.inputs)))
    return found


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the run of every load these deadlines, without running it."""
    events = [WakeScheduled(n, n, at_ns) for n, at_ns in enumerate((2_000_000, 4_000_000, 6_000_000))]
    monkeypatch.setattr(jitter, "_recorded", lambda _scenario: events)


@pytest.mark.usefixtures("deadlines")
def test_a_seed_draws_the_same_loads_in_every_version() -> None:
    """So a report can be repeated: `verify --seed`."""
    assert drawn(3) == DRAWN


class Extreme:
    """Draws the first or the last of the range."""

    last = False

    def __init__(self, _seed: int) -> None:
        pass

    def randint(self, least: int, most: int) -> int:
        return most if self.last else least

    def choice(self, several: list[int]) -> int:
        return several[-1 if self.last else 0]


@pytest.mark.usefixtures("deadlines")
@pytest.mark.parametrize(
    ("last", "found"),
    [(False, (1_000, 20_000, (2_000_000 - 300, 0))), (True, (3_000_000, 10_000_000, (6_000_000 + 300, 6_000_000)))],
)
def test_loads_are_drawn_from_these_ranges(monkeypatch: pytest.MonkeyPatch, last: bool, found: object) -> None:
    """Sleeps of 1 us to 3 ms, and interrupts up to 300 ns from a deadline and anywhere before the last one."""
    monkeypatch.setattr(Extreme, "last", last)
    monkeypatch.setattr(jitter, "Random", Extreme)
    assert drawn(1)[1] == found


@pytest.mark.usefixtures("deadlines")
def test_every_time_slice_is_drawn() -> None:
    found = {quantum for seed in range(10) for _, quantum, _ in drawn(seed)}
    assert found == {20_000, 100_000, 1_000_000, 10_000_000}


def test_a_load_without_a_deadline_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jitter, "_recorded", lambda _scenario: [Halted(0, 5, True)])
    assert len(list(loads(Scenario("counter"), 4, 1))) == 4


def test_no_interrupt_comes_before_the_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jitter, "_recorded", lambda _scenario: [WakeScheduled(0, 0, 10)])
    times = [at for seed in range(20) for _, _, inputs in drawn(seed) for at in inputs]
    assert min(times) == 0
    assert max(times) > 10


def test_what_a_load_records_is_what_a_run_of_it_has() -> None:
    scenario = Scenario("counter", EnclaveOptions.of(cycles=2))
    assert tuple(jitter._recorded(scenario)) == observe("counter", cycles=2).events
    short = jitter._recorded(replace(scenario, limit_ns=1000))
    assert 0 < len(short) < 40
