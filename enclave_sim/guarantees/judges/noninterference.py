"""Non-interference by self-composition: two runs that differ in a secret must look alike to everyone else.

The runs are compared in everything that a next context can see (`InterferenceWatcher`), in DORMANT, and event by event,
including times. The declared output of a payload may differ: the arguments of `emit_signal`, and the payload's own
identity, which is measured. So may that in which the secret arrives (`Secret`). If no guest could see the secret, the
runs are no evidence.
"""

from typing import Any

import msgspec

from enclave_sim import events
from enclave_sim.guarantees.judges.secret import NOTHING_SEEN, Secret, seen
from enclave_sim.guarantees.observation import Run
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.guarantees.watchers.interference import STATUS_RECORDS
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
_TIMES = "LocalApic.acknowledged_ns", "LocalApic._timer"
"""When the last interrupt came."""


def noninterference(first: Run, second: Run) -> Report:
    """Judge that two runs that differ only in a secret differ only in declared output.

    Args:
        first: A run.
        second: A run of a scenario that differs in a secret: see `enclave_sim.guarantees.variations`.

    Returns:
        The report, with the first differences. Without any it holds only if a guest could see the secret: else it has
        no evidence.
    """
    secret = Secret.between(first.scenario, second.scenario)
    findings = [*_compare_events(first, second, secret), *_compare_probes(first, second, secret)]
    if first.result.halted and second.result.halted:
        findings += _compare_dormant(first, second, secret)
    elif first.result.halted != second.result.halted:
        findings.append(Finding("one run went dormant and the other did not"))
    places = seen(first, second)
    looked = {
        "events": len(first.events),
        "probes": len(first.probes),
        "dormant": int(first.result.halted),
        "seen in": " and ".join(places) or "nothing",
    }
    no_evidence = "" if places else NOTHING_SEEN
    return Report("non-interference", tuple(findings[:_MAX_FINDINGS]), looked, no_evidence=no_evidence)


def _compare_events(first: Run, second: Run, secret: Secret) -> list[Finding]:
    ours, theirs = ([_masked(e, secret) for e in secret.without(run.events)] for run in (first, second))
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


def _masked(event: Event, secret: Secret) -> Event:
    """Return an event without a payload's declared output, and without the secret in an answer."""
    declared = _DECLARED.get(type(event), ())
    if isinstance(event, events.HostCalled) and event.number == HostFunction.EMIT_SIGNAL:
        declared = ("argument",)
    blank: dict[str, Any] = {name: type(getattr(event, name))() for name in declared}
    if isinstance(event, events.HostReturned) and event.number == HostFunction.GET_STATUS:
        blank = {"result": event.result & ~secret.status_bits}
    return msgspec.structs.replace(event, **blank) if blank else event


def _compare_probes(first: Run, second: Run, secret: Secret) -> list[Finding]:
    found = []
    for a, b in zip(first.probes, second.probes, strict=False):
        ours, theirs = (_without_status(one.seen, secret) for one in (a, b))
        names = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
        if names:
            found.append(Finding(f"{a.what} can see a trace: {', '.join(names)}", a.at_ns))
    return found


def _without_status(seen_by_one: dict[str, bytes | int], secret: Secret) -> dict[str, bytes | int]:
    """Return what was seen, without the secret in the kernel's own records of the status word."""
    return {
        name: value & ~secret.status_bits if isinstance(value, int) and name in STATUS_RECORDS.values() else value
        for name, value in seen_by_one.items()
    }


def _compare_dormant(first: Run, second: Run, secret: Secret) -> list[Finding]:
    spared = (*_INPUTS_OR_OUTPUT, *(_TIMES if secret.moves_time else ()))
    lines = first.final.differences(second.final)
    return [
        Finding(f"in DORMANT, {line}")
        for line in lines
        if not any(line.startswith(f"device {name}:") for name in spared)
    ]
