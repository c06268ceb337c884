"""Judges of runs: determinism, zero trace, isolation and attestation."""

from collections.abc import Sequence

from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.judges.noninterference import context
from enclave_sim.guarantees.last_writer import describe_last_writer
from enclave_sim.guarantees.observation import Run, gathered
from enclave_sim.guarantees.report import Finding, Report, hex_dump
from enclave_sim.recording.outcome.summary import KERNEL_STOPPED
from machine.events import Event

_TRACED = 3
"""Number of regions for which the last writer is searched: each search needs another run."""


def deterministic(runs: Sequence[Run]) -> Report:
    """Judge that runs of one scenario have the same events, byte for byte, and end in the same state.

    Args:
        runs: At least two runs of the same payload and inputs.

    Returns:
        The report, with the first divergence of each run from the first.

    Raises:
        ConfigurationError: There are fewer than two runs, or runs of different scenarios.
    """
    if len(runs) < 2:
        raise ConfigurationError(f"determinism needs at least two runs to compare, not {len(runs)}")
    first, *others = runs
    findings: list[Finding] = []
    for number, run in enumerate(others, start=2):
        if (run.scenario.payload, run.scenario.inputs) != (first.scenario.payload, first.scenario.inputs):
            raise ConfigurationError(f"run {number} has another scenario; determinism compares repeated runs")
        if run.result.digest != first.result.digest:
            findings.append(_first_divergence(number, list(first.events), list(run.events)))
        differences = first.final.differences(run.final)
        if differences:
            findings.append(Finding(f"run {number} ends in another state", run.final.at_ns, tuple(differences)))
    looked = {"runs": len(runs), "events": sum(len(run.events) for run in runs), "digest": first.result.digest[:16]}
    return Report("deterministic", tuple(findings), looked)


def _first_divergence(number: int, ours: list[Event], theirs: list[Event]) -> Finding:
    shortest = min(len(ours), len(theirs))
    index = next((i for i in range(shortest) if ours[i] != theirs[i]), shortest)
    if index == len(ours) == len(theirs):
        return Finding(f"run {number} has the same events but another digest")
    at_ns = ours[index].at_ns if index < len(ours) else None
    return Finding(f"run {number} diverges at event {index}", at_ns, context(ours, theirs, index))


def zero_trace(runs: Sequence[Run]) -> Report:
    """Judge that there is no residue in DORMANT, and that nothing is left for the next context at any switch.

    Args:
        runs: The runs, of any scenarios.

    Returns:
        The report. For the first regions with residue, another run is searched for their last writer.
    """
    switches = gathered("zero-trace", runs, "context switches")
    findings = list(switches.findings)
    traced: set[str] = set()
    for run in runs:
        for found in run.residue.ranges:
            evidence = hex_dump(found.base, found.data)
            if len(traced) < _TRACED and found.region not in traced:
                traced.add(found.region)
                evidence += (describe_last_writer(run.scenario, found.base, len(found.data)),)
            what = f"residue in {found.region}: {len(found.data)} bytes at {found.base:#x}"
            findings.append(Finding(what, run.final.at_ns, evidence))
        if run.result.outcome == KERNEL_STOPPED and run.scenario.configuration.firmware is not None:
            findings.append(Finding("the kernel stopped before annihilation, so nothing was erased", run.final.at_ns))
    scanned = sum(run.residue.scanned_bytes for run in runs)
    return Report("zero-trace", tuple(findings), {**switches.looked_at, "bytes scanned": scanned})


def isolated(runs: Sequence[Run]) -> Report:
    """Judge that code in ring 3 changed only the guest's own state, and that page tables are sound.

    Args:
        runs: The runs, of any scenarios.

    Returns:
        The report.
    """
    return gathered("isolated", runs, "isolation")


def attested(runs: Sequence[Run]) -> Report:
    """Judge that attestation was complete.

    Everything was measured before its use, no cycle began without the evidence required by the policy, and the TPM was
    capped at the end.

    Args:
        runs: The runs, of any scenarios.

    Returns:
        The report.
    """
    return gathered("attested", runs, "attestation")
