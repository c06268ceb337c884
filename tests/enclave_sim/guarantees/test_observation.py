"""Scenarios and runs: defaults, and what an observer passes on."""

import inspect
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from enclave_sim.cancellation import Cancellation, Cancelled
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees import ObservedTemplate, Scenario, observe, observe_scenario
from enclave_sim.guarantees.observation import Observer, gathered
from enclave_sim.guarantees.report import Finding
from enclave_sim.guarantees.watchers.attestation import AttestationWatcher
from enclave_sim.guarantees.watchers.measurement import MeasurementWatcher
from enclave_sim.inputs import GuestReplaced, Tamper
from enclave_sim.recording.outcome.residue import Residue
from payloads import read, read_flat

TEN_SECONDS = 10_000_000_000


def test_runs_are_limited_to_ten_seconds_by_default() -> None:
    assert Scenario("beacon").limit_ns == TEN_SECONDS
    for function in (observe, ObservedTemplate.run):
        assert inspect.signature(function).parameters["limit_ns"].default == TEN_SECONDS
    assert observe("beacon").scenario == Scenario("beacon")
    assert observe("beacon", limit_ns=5000, inputs=[Tamper(at_ns=9)], cycles=2).scenario == Scenario(
        "beacon", EnclaveOptions.of(cycles=2), (Tamper(at_ns=9),), 5000
    )


def test_a_scenario_has_its_configuration_and_a_name() -> None:
    scenario = Scenario("beacon", EnclaveOptions.of(cycles=7))
    assert scenario.configuration.cycles == 7
    assert scenario.name == "beacon"
    assert Scenario(b"abc").name == "3 bytes"
    assert Scenario(["a", b"bc", "d"]).name == "a, 2 bytes, d"
    replaced = GuestReplaced(at_ns=1, payload=0, code=b"")
    assert Scenario("beacon", inputs=(Tamper(at_ns=1), replaced)).name == "a replaced guest"


def test_a_run_that_is_over_before_it_is_dormant_has_no_residue() -> None:
    run = observe("beacon", limit_ns=1000)
    assert run.residue == Residue((), 0)
    assert run.residue.scanned_bytes == 0
    assert observe("beacon").residue.scanned_bytes == 16 << 20


def test_a_run_has_what_each_watcher_has_seen() -> None:
    run = observe("beacon")
    watchers = {"context switches", "isolation", "interference", "measurement", "attestation"}
    assert run.looked_at.keys() == run.findings.keys() == watchers
    assert len(run.probes) == run.looked_at["interference"]["probes"] == 1


@pytest.mark.parametrize(("payload", "options"), [("surveyor", {"engine": "native"}), ("beacon", {})])
def test_the_watchers_know_what_they_look_at(payload: str, options: dict[str, Any]) -> None:
    observer, scenario = Observer(), Scenario(payload, EnclaveOptions.of(**options))
    enclave = scenario.enclave(observer)
    observer.attach(enclave)
    assert len(observer.watchers) == 5
    for watcher in observer.watchers:
        assert watcher.machine is enclave.machine
        assert watcher.engine.value == options.get("engine", "wasmtime")
        if isinstance(watcher, MeasurementWatcher):
            assert watcher.payload == enclave.payloads[0]
            assert watcher.payload == (read_flat(payload) if options else read(payload))
        if isinstance(watcher, AttestationWatcher):
            assert watcher.enclave is enclave


def test_a_run_that_is_cancelled_ends_at_its_first_event() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        observe_scenario(Scenario("beacon"), cancellation)


def test_runs_from_a_template_are_those_of_its_scenario() -> None:
    bench = ObservedTemplate("counter", cycles=2)
    late = Tamper(at_ns=bench.at_ns + 100)
    first, second = bench.run(inputs=[late], limit_ns=bench.at_ns + 50), bench.run()
    assert first.scenario == Scenario("counter", EnclaveOptions.of(cycles=2), (late,), bench.at_ns + 50)
    assert second.scenario == Scenario("counter", EnclaveOptions.of(cycles=2))
    assert second.result == observe("counter", cycles=2).result
    assert first.result.outcome == "LIMIT"


def test_findings_and_counts_of_several_runs_are_put_together() -> None:
    run = observe("beacon")
    one = replace(run, looked_at={"x": Counter(a=1, b=2)}, findings={"x": (Finding("first"),)})
    two = replace(run, looked_at={"x": Counter(a=5)}, findings={"x": (Finding("second"), Finding("third"))})
    report = gathered("name", [one, two], "x")
    assert (report.guarantee, report.looked_at) == ("name", {"runs": 2, "a": 6, "b": 2})
    assert [finding.what for finding in report.findings] == ["first", "second", "third"]
