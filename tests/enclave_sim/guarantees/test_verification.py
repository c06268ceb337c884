"""All guarantees of a scenario: which runs are made, the progress text of each step, and which runs each guarantee
judges."""

from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

from enclave_sim.cancellation import Cancellation, Cancelled
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import Report, Run, Scenario, observe, verification
from enclave_sim.guarantees.judges.jitter import loads
from enclave_sim.guarantees.report import Finding
from enclave_sim.guarantees.variations import SECRETS
from enclave_sim.guarantees.verification import verify

ALL = ["deterministic", "zero-trace", "non-interference", "isolated", "jitter-free", "admitted", "attested"]


@cache
def sound() -> Run:
    return observe("digest")


class Made:
    """The requested runs; each is a sound run, labelled with the scenario."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scenarios: list[Scenario] = []
        self.cancellations: set[Cancellation] = set()
        self.steps: list[str] = []
        monkeypatch.setattr(verification, "observe_scenario", self._observe)

    def _observe(self, scenario: Scenario, cancellation: Cancellation) -> Run:
        self.scenarios.append(scenario)
        self.cancellations.add(cancellation)
        return replace(sound(), scenario=scenario)

    def verify(self, scenario: Scenario, **options: Any) -> list[Report]:
        return list(verify(scenario, progress=self.steps.append, **options))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


DIGEST = Scenario("digest")


def steps(runs: int, loaded: int, *secrets: str) -> list[str]:
    repeated = [f"run {n + 1} of {runs}" for n in range(runs)]
    return [
        *repeated,
        *(f"load {n + 1}" for n in range(loaded)),
        *(f"two runs with other {s}" for s in secrets),
        "residue",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("secrets", "seed", "runs"), [((), 0, 4), (("data",), 5, 2), (("uplink", "wake", "uplink"), 5, 2)]
)
def test_these_runs_are_made_in_this_order(made: Made, runs: int, seed: int, secrets: tuple[str, ...]) -> None:
    reports = made.verify(DIGEST, runs=runs, seed=seed, secrets=secrets)
    varied = {(): ("wake", "memory"), ("data",): ("data",), ("uplink", "wake", "uplink"): ("uplink", "wake")}[secrets]
    assert [report.guarantee for report in reports] == ALL
    assert all(report.holds for report in reports if report.guarantee != "non-interference")
    portable = replace(DIGEST, options=msgspec.structs.replace(DIGEST.options, portable=True))
    repeated = [portable if number == 1 else DIGEST for number in range(runs)]
    loaded = list(loads(DIGEST, runs, seed))
    assert made.scenarios[: runs + len(loaded)] == [*repeated, *loaded]
    others = made.scenarios[runs + len(loaded) :]
    wanted = [SECRETS[name](DIGEST, seed + n) for name in varied for n in (1, 2)]
    assert [(each.options, each.inputs, each.limit_ns) for each in others] == [
        (each.options, each.inputs, each.limit_ns) for each in wanted
    ]
    assert [len(each.payload[0]) for each in others] == [len(each.payload[0]) for each in wanted]
    assert made.steps == steps(runs, len(loaded), *varied)
    assert len(made.cancellations) == 1
    everything, jitter = len(made.scenarios), runs + len(loaded)
    assert [report.looked_at.get("runs") for report in reports] == [
        runs, everything, None, everything, jitter, everything, everything,
    ]  # fmt: skip


@pytest.mark.slow
def test_by_default_there_are_three_runs_of_seed_0(made: Made) -> None:
    made.verify(DIGEST)
    asked = list(made.scenarios)
    made.scenarios.clear()
    made.verify(DIGEST, runs=3, seed=0, secrets=("wake", "memory"))
    assert asked == made.scenarios


def test_there_is_no_such_secret(made: Made) -> None:
    with pytest.raises(ConfigurationError, match="there is no secret 'wakes'; did you mean wake"):
        made.verify(DIGEST, secrets=["wakes"])
    assert made.scenarios == []


@pytest.mark.slow
def test_a_flat_guest_runs_on_the_host_each_time(made: Made) -> None:
    flat = Scenario("surveyor", EnclaveOptions.of(engine="native"))
    made.verify(flat, runs=3)
    assert made.scenarios[:3] == [flat] * 3


@pytest.mark.parametrize("runs", [-1, 0, 1])
def test_one_run_is_not_enough(made: Made, runs: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made.verify(DIGEST, runs=runs)
    assert str(caught.value) == f"runs is {runs}; it takes at least 2 to compare"
    assert (made.scenarios, made.steps) == ([], [])


def test_it_can_be_cancelled_before_every_step(made: Made) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        made.verify(DIGEST, cancellation=cancellation)
    assert (made.scenarios, made.steps) == ([], [])


def judged(monkeypatch: pytest.MonkeyPatch, *reports: Report) -> None:
    """Let the pairs of runs have these reports, in turn."""
    left = list(reports)
    monkeypatch.setattr(verification, "noninterference", lambda _first, _second: left.pop(0))


LOOKED = {"events": 3, "probes": 1, "seen in": "memory"}
BROKEN = Report("non-interference", (Finding("a trace", 5, ("line",)),), LOOKED)
HOLDS = Report("non-interference", (), LOOKED)
UNSEEN = Report("non-interference", (), LOOKED, no_evidence="nobody sees it")


def test_each_finding_of_non_interference_names_the_secret(monkeypatch: pytest.MonkeyPatch, made: Made) -> None:
    judged(monkeypatch, BROKEN, BROKEN)
    report = made.verify(DIGEST, runs=2, secrets=["uplink", "data"])[2]
    assert report.findings == tuple(Finding(f"other {s}: a trace", 5, ("line",)) for s in ("uplink", "data"))
    assert report.looked_at == {"secrets": "uplink and data", "events": 6, "probes": 2}


@pytest.mark.slow
def test_a_secret_that_is_asked_for_must_be_seen_and_of_the_others_one(
    monkeypatch: pytest.MonkeyPatch, made: Made
) -> None:
    judged(monkeypatch, HOLDS, UNSEEN)
    report = made.verify(DIGEST, runs=2)[2]
    assert (report.verdict, report.looked_at["secrets"], report.looked_at["events"]) == ("holds", "wake", 3)
    judged(monkeypatch, UNSEEN, UNSEEN)
    report = made.verify(DIGEST, runs=2)[2]
    assert (report.verdict, report.looked_at) == ("NO EVIDENCE", {"secrets": "none"})
    judged(monkeypatch, HOLDS, UNSEEN)
    report = made.verify(DIGEST, runs=2, secrets=["wake", "memory"])[2]
    assert (report.verdict, report.no_evidence) == ("NO EVIDENCE", "memory: nobody sees it")
    judged(monkeypatch, UNSEEN, BROKEN)
    assert made.verify(DIGEST, runs=2, secrets=["wake", "memory"])[2].verdict == "BROKEN"
