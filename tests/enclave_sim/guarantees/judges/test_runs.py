"""Determinism and zero trace, with modified runs that show each message."""

from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import Run, Scenario, attested, deterministic, isolated, observe, zero_trace
from enclave_sim.guarantees.judges import runs as judge
from enclave_sim.guarantees.report import Finding
from enclave_sim.recording.outcome.residue import Residue, ResidueRange


@cache
def run() -> Run:
    return observe("beacon")


def another(events: Any = None) -> Run:
    """A run with another digest."""
    result = msgspec.structs.replace(run().result, digest="0" * 64)
    return replace(run(), result=result, events=run().events if events is None else tuple(events))


def test_what_was_looked_at_is_counted() -> None:
    short = replace(run(), events=run().events[:5])
    report = deterministic([run(), short])
    assert report.guarantee == "deterministic"
    assert report.looked_at == {"runs": 2, "events": len(run().events) + 5, "digest": run().result.digest[:16]}


@pytest.mark.parametrize("count", [0, 1])
def test_one_run_is_not_enough(count: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        deterministic([run()] * count)
    assert str(caught.value) == f"determinism needs at least two runs to compare, not {count}"


@pytest.mark.parametrize("other", [Scenario("counter"), Scenario("beacon", inputs=("x",))])  # type: ignore[arg-type]
def test_a_run_of_another_scenario_is_named_by_its_number(other: Scenario) -> None:
    with pytest.raises(ConfigurationError) as caught:
        deterministic([run(), run(), replace(run(), scenario=other), run()])
    assert str(caught.value) == "run 3 has another scenario; determinism compares repeated runs"


def test_the_same_events_with_another_digest_are_a_finding_without_a_time() -> None:
    report = deterministic([run(), run(), another()])
    assert report.findings == (Finding("run 3 has the same events but another digest"),)


@pytest.mark.parametrize("events", [0, 1, 30])
def test_one_that_ends_earlier_parts_there(events: int) -> None:
    whole, short = run(), another(run().events[:events])
    (found,) = deterministic([whole, short]).findings
    assert (found.what, found.at_ns) == (f"run 2 diverges at event {events}", run().events[events].at_ns)
    assert found.evidence[-1] == "+ the end"
    whole, short = replace(run(), events=run().events[:events]), another()
    (found,) = deterministic([whole, short]).findings
    assert (found.what, found.at_ns) == (f"run 2 diverges at event {events}", None)
    assert found.evidence[-2] == "- the end"
    assert len(found.evidence) == 2 + min(events, 3)


def test_another_state_is_found_with_the_time_of_the_end() -> None:
    final = replace(run().final, at_ns=77, registers={**run().final.registers, "R10": 7})
    (found,) = deterministic([run(), replace(run(), final=final)]).findings
    assert found == Finding("run 2 ends in another state", 77, ("register R10: 0x0 and 0x7",))


def test_the_last_writer_is_searched_in_three_regions_and_once_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def describe(scenario: Scenario, base: int, length: int) -> str:
        assert scenario is run().scenario
        asked.append((base, length))
        return f"written by {base}"

    monkeypatch.setattr(judge, "describe_last_writer", describe)
    names = ["a", "a", "b", "c", "a", "d"]
    ranges = tuple(ResidueRange(16 * n, bytes([n]) * (n + 1), name) for n, name in enumerate(names))
    residue = replace(run(), residue=Residue(ranges, 1000))
    report = zero_trace([residue, residue])
    assert asked == [(0, 1), (32, 3), (48, 4)]
    assert [found.what for found in report.findings] == 2 * [
        f"residue in {name}: {n + 1} bytes at {16 * n:#x}" for n, name in enumerate(names)
    ]
    written = [len(found.evidence) == 2 for found in report.findings]
    assert written == [True, False, True, True, False, False] + [False] * 6
    assert report.findings[0].evidence[1] == "written by 0"
    assert {found.at_ns for found in report.findings} == {run().final.at_ns}


def test_zero_trace_counts_switches_and_bytes() -> None:
    one, two = (replace(run(), residue=Residue((), scanned)) for scanned in (1000, 200))
    report = zero_trace([one, two])
    switches = {name: 2 * count for name, count in run().looked_at["context switches"].items()}
    assert (report.guarantee, report.looked_at) == ("zero-trace", {"runs": 2, **switches, "bytes scanned": 1200})


@pytest.mark.parametrize(
    ("judged", "guarantee", "watcher"),
    [
        (zero_trace, "zero-trace", "context switches"),
        (isolated, "isolated", "isolation"),
        (attested, "attested", "attestation"),
    ],
)
def test_each_judge_reports_what_its_watcher_has_found(judged: Any, guarantee: str, watcher: str) -> None:
    finding = Finding("something", 5)
    found = replace(run(), findings={name: (finding,) if name == watcher else () for name in run().findings})
    report = judged([run(), found, found])
    assert (report.guarantee, report.findings) == (guarantee, (finding, finding))
    assert report.looked_at["runs"] == 3
