"""Non-interference by self-composition: two runs that differ in a secret must look alike to everyone else.

The runs are compared in everything that a next context can see (`InterferenceWatcher`), in DORMANT, and event by event,
including times. The declared output of a payload may differ: the arguments of `emit_signal`, and the payload's own
identity, which is measured.
"""

from typing import Any

import msgspec

from enclave_sim import events
from enclave_sim.guarantees.observation import Run
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.specification import HostFunction
from machine.events import Event

_MAX_FINDINGS = 20
_CONTEXT = 3
_DECLARED: dict[type, tuple[str, ...]] = {
    events.PayloadMeasured: ("sha256",),
    events.GuestReplaced: ("sha256",),
    events.PcrExtended: ("sha256",),
    events.Quoted: ("pcr_digest",),
    events.SignalEmitted: ("value",),
}
_INPUTS_OR_OUTPUT = (
    *("EnclaveBlock.sensors", "EnclaveBlock.uplink_ready", "Uart16550.transmitted"),
    *("TpmCrb.tpm", "AttestationPort.evidence"),
)
"""Device state that is the secret itself, a log of declared output, or a measurement."""


def noninterference(first: Run, second: Run) -> Report:
    """Judge that two runs that differ only in a secret differ only in declared output.

    Args:
        first: A run.
        second: A run of a scenario that differs in a secret; see `with_other_sensors` and `with_other_data`.

    Returns:
        The report, with the first differences.
    """
    findings = [*_compare_events(first, second), *_compare_probes(first, second)]
    if first.result.halted and second.result.halted:
        findings += _compare_dormant(first, second)
    elif first.result.halted != second.result.halted:
        findings.append(Finding("one run went dormant and the other did not"))
    looked = {"events": len(first.events), "probes": len(first.probes), "dormant": int(first.result.halted)}
    return Report("non-interference", tuple(findings[:_MAX_FINDINGS]), looked)


def _compare_events(first: Run, second: Run) -> list[Finding]:
    ours, theirs = [_masked(e) for e in first.events], [_masked(e) for e in second.events]
    for index, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a == b:
            continue
        timing = msgspec.structs.replace(b, at_ns=a.at_ns) == a
        what = "a timing channel: the same event at another time" if timing else "another event"
        return [Finding(what, a.at_ns, context(ours, theirs, index))]
    if len(ours) != len(theirs):
        return [Finding(f"{len(ours)} and {len(theirs)} events")]
    return []


def context(ours: list[Event], theirs: list[Event], index: int) -> tuple[str, ...]:
    """Return the common events before the divergence of two recordings, and those at it."""
    before = [f"  {_show(event)}" for event in ours[max(0, index - _CONTEXT) : index]]
    a = [f"- {_show(event)}" for event in ours[index : index + 1]] or ["- the end"]
    b = [f"+ {_show(event)}" for event in theirs[index : index + 1]] or ["+ the end"]
    return (*before, *a, *b)


def _show(event: Event) -> str:
    return msgspec.json.encode(event).decode()


def _masked(event: Event) -> Event:
    """Return an event without a payload's declared output."""
    declared = _DECLARED.get(type(event), ())
    if isinstance(event, events.HostCalled) and event.number == HostFunction.EMIT_SIGNAL:
        declared = ("argument",)
    blank: dict[str, Any] = {name: type(getattr(event, name))() for name in declared}
    return msgspec.structs.replace(event, **blank) if blank else event


def _compare_probes(first: Run, second: Run) -> list[Finding]:
    found = []
    for a, b in zip(first.probes, second.probes, strict=False):
        names = [name for name in sorted(a.seen.keys() | b.seen.keys()) if a.seen.get(name) != b.seen.get(name)]
        if names:
            found.append(Finding(f"{a.what} can see a trace: {', '.join(names)}", a.at_ns))
    return found


def _compare_dormant(first: Run, second: Run) -> list[Finding]:
    lines = first.final.differences(second.final)
    return [
        Finding(f"in DORMANT, {line}")
        for line in lines
        if not any(line.startswith(f"device {name}:") for name in _INPUTS_OR_OUTPUT)
    ]
