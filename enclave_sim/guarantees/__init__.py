"""Guarantees as code: watch runs, judge them, and read or assert the reports.

from enclave_sim.guarantees import deterministic, observe, zero_trace

runs = [observe("counter", cycles=3) for _ in range(3)]
deterministic(runs).check()
print(zero_trace(runs))
"""

from enclave_sim.guarantees.interference import noninterference
from enclave_sim.guarantees.judgement import deterministic, isolated, jitter_free, zero_trace
from enclave_sim.guarantees.observation import ObservedTemplate, Run, Scenario, observe, observe_scenario
from enclave_sim.guarantees.report import Finding, GuaranteeBroken, Report

__all__ = [
    "Finding",
    "GuaranteeBroken",
    "ObservedTemplate",
    "Report",
    "Run",
    "Scenario",
    "deterministic",
    "isolated",
    "jitter_free",
    "noninterference",
    "observe",
    "observe_scenario",
    "zero_trace",
]
