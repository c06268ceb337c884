"""Guarantees as code: watch runs, judge them, and read or assert the reports.

from enclave_sim.guarantees import deterministic, observe, zero_trace

runs = [observe("counter", cycles=3) for _ in range(3)]
deterministic(runs).check()
print(zero_trace(runs))
"""

from enclave_sim.guarantees.judges.admission import admitted
from enclave_sim.guarantees.judges.jitter import jitter_free, loads
from enclave_sim.guarantees.judges.lifetime import ShortLived, short_lived
from enclave_sim.guarantees.judges.noninterference import noninterference
from enclave_sim.guarantees.judges.runs import attested, deterministic, isolated, zero_trace
from enclave_sim.guarantees.observation import ObservedTemplate, Run, Scenario, observe, observe_scenario
from enclave_sim.guarantees.report import Finding, GuaranteeBroken, NoEvidence, Report
from enclave_sim.guarantees.variations import with_other_data, with_other_memory, with_other_uplink, with_other_wake

__all__ = [
    "Finding",
    "GuaranteeBroken",
    "NoEvidence",
    "ObservedTemplate",
    "Report",
    "Run",
    "Scenario",
    "ShortLived",
    "admitted",
    "attested",
    "deterministic",
    "isolated",
    "jitter_free",
    "loads",
    "noninterference",
    "observe",
    "observe_scenario",
    "short_lived",
    "with_other_data",
    "with_other_memory",
    "with_other_uplink",
    "with_other_wake",
    "zero_trace",
]
