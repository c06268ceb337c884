"""Non-interference by self-composition: two runs that differ in a secret must look alike to everybody else.

While a run goes on, the watcher notes what each next context can see: a fresh guest its registers and memory, the
sleeping kernel all of RAM. Two runs are then compared there, in DORMANT, and event by event, time included. What a
payload declares to the world - the arguments of `emit_signal`, and who it is, which is measured - may differ.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

import firmware
import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.guarantees.watcher import Watcher
from enclave_sim.memory_map import region, region_at
from enclave_sim.specification import HostFunction
from machine.events import Event
from machine.processor_state import GENERAL_REGISTERS
from machine.ram import PAGE_SIZE

if TYPE_CHECKING:
    from enclave_sim.guarantees.observation import Run

_VISIBLE = ("gate", "guest_stack", "heap")
_MOST_FINDINGS = 20
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


@dataclass(frozen=True, slots=True)
class Probe:
    """What a context could see at one moment: digests by register or page."""

    what: str
    at_ns: int
    seen: dict[str, bytes | int]


class InterferenceWatcher(Watcher):
    """Notes what each next context can see."""

    NAME = "interference"

    def __init__(self) -> None:
        super().__init__()
        self.probes: list[Probe] = []
        self._fresh: events.CycleBegan | None = None

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            events.CycleBegan: self._cycle_began,
            machine_events.RingTransition: self._ring_changed,
            machine_events.Halted: self._halted,
        }

    def _cycle_began(self, event: events.CycleBegan) -> None:
        self._fresh = event

    def _ring_changed(self, event: machine_events.RingTransition) -> None:
        """The first entry of a guest: all that it can find."""
        if event.to_ring != 3 or self._fresh is None:
            return
        what, self._fresh = f"the guest of cycle {self._fresh.cycle} at its entry", None
        visible = [range(region(name).base, region(name).end) for name in _VISIBLE]
        pages = self.machine.ram.nonzero_pages(visible)
        self._probe(what, event.at_ns, pages)

    def _halted(self, event: machine_events.Halted) -> None:
        """Asleep: all of RAM but the payloads, which wait in the staging area as they were loaded."""
        if event.interruptible:
            staging = region("staging")
            pages = [p for p in self.machine.ram.nonzero_pages() if not staging.base <= p < staging.end]
            self._probe("the sleeping enclave", event.at_ns, pages)

    def _probe(self, what: str, at_ns: int, pages: list[int]) -> None:
        cpu, ram = self.machine.cpu, self.machine.ram
        seen: dict[str, bytes | int] = {name.upper(): getattr(cpu.registers, name) for name in GENERAL_REGISTERS}
        seen |= {"RFLAGS": cpu.rflags, "XMM": hashlib.sha256(cpu.context.vector_registers).digest()}
        for page in pages:
            where = region_at(page)
            name = f"{where.name if where else 'unmapped'}, page {page:#x}"
            seen[name] = hashlib.sha256(_without_event_log(page, ram.read(page, PAGE_SIZE))).digest()
        self.probes.append(Probe(what, at_ns, seen))
        self.count("probes")


def _without_event_log(page: int, content: bytes) -> bytes:
    """A page of RAM, zero where the kernel keeps its log of measurements."""
    log, size = firmware.symbols()["event_log"], firmware.layout()["EVENT_LOG_SIZE"]
    start, end = max(log - page, 0), min(log + size - page, PAGE_SIZE)
    return content if start >= end else content[:start] + bytes(end - start) + content[end:]


def noninterference(first: "Run", second: "Run") -> Report:
    """Two runs that differ in a secret alone part nowhere but in declared output."""
    findings = [*_compare_events(first, second), *_compare_probes(first, second)]
    if first.result.halted and second.result.halted:
        findings += _compare_dormant(first, second)
    elif first.result.halted != second.result.halted:
        findings.append(Finding("one run went dormant and the other did not"))
    looked = {"events": len(first.events), "probes": len(first.probes), "dormant": int(first.result.halted)}
    return Report("non-interference", tuple(findings[:_MOST_FINDINGS]), looked)


def _compare_events(first: "Run", second: "Run") -> list[Finding]:
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
    """The events before two recordings part, in common, and those where they do."""
    before = [f"  {_show(event)}" for event in ours[max(0, index - _CONTEXT) : index]]
    a = [f"- {_show(event)}" for event in ours[index : index + 1]] or ["- the end"]
    b = [f"+ {_show(event)}" for event in theirs[index : index + 1]] or ["+ the end"]
    return (*before, *a, *b)


def _show(event: Event) -> str:
    return msgspec.json.encode(event).decode()


def _masked(event: Event) -> Event:
    """An event without what a payload declares."""
    declared = _DECLARED.get(type(event), ())
    if isinstance(event, events.HostCalled) and event.number == HostFunction.EMIT_SIGNAL:
        declared = ("argument",)
    blank: dict[str, Any] = {name: type(getattr(event, name))() for name in declared}
    return msgspec.structs.replace(event, **blank) if blank else event


def _compare_probes(first: "Run", second: "Run") -> list[Finding]:
    found = []
    for a, b in zip(first.probes, second.probes, strict=False):
        names = [name for name in sorted(a.seen.keys() | b.seen.keys()) if a.seen.get(name) != b.seen.get(name)]
        if names:
            found.append(Finding(f"{a.what} can see a trace: {', '.join(names)}", a.at_ns))
    return found


def _compare_dormant(first: "Run", second: "Run") -> list[Finding]:
    lines = first.final.differences(second.final)
    return [
        Finding(f"in DORMANT, {line}")
        for line in lines
        if not any(line.startswith(f"device {name}:") for name in _INPUTS_OR_OUTPUT)
    ]
