"""The secret in which two runs differ: what it may change by itself, and whether a guest could see it.

A secret that no guest can see proves nothing: whatever a guest or the kernel does, the runs are equal.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

import machine.events as machine_events
from enclave_sim import events
from enclave_sim.enclave.configuration import read_payloads
from enclave_sim.guarantees.observation import Run, Scenario
from enclave_sim.guarantees.watchers.interference import MEMORY, STATUS
from enclave_sim.inputs import GuestReplaced, kind_of
from enclave_sim.payload.errors import MalformedModule
from enclave_sim.payload.wasm.sections import SectionId, sections
from enclave_sim.specification import HostFunction, Status
from machine.events import Event

_WAKE, _UPLINK = "external_interrupt", "uplink_ready"
_STATUS_BITS = {_WAKE: Status.TIMER_WAKE | Status.EXTERNAL_WAKE, _UPLINK: Status.SIGNAL_READY}
NOTHING_SEEN = (
    "the secret is nowhere where a guest could see it: not in the code or data of a guest that ran, nor in its status "
    "word, its memory or the answers of its host calls; so these runs would be equal whatever a guest does"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """The difference between two scenarios, besides their payloads."""

    inputs: frozenset[str]
    """Kinds of the inputs that only one of them has."""

    @classmethod
    def between(cls, first: Scenario, second: Scenario) -> "Secret":
        """Return the secret of two scenarios."""
        ours, theirs = (Counter(map(msgspec.json.encode, one.inputs)) for one in (first, second))
        differing = (ours - theirs) + (theirs - ours)
        every = (*first.inputs, *second.inputs)
        return cls(frozenset(kind_of(one) for one in every if msgspec.json.encode(one) in differing))

    @property
    def status_bits(self) -> int:
        """The bits of the status word that it sets or clears."""
        return sum(int(bits) for kind, bits in _STATUS_BITS.items() if kind in self.inputs)

    @property
    def moves_time(self) -> bool:
        """True if it is a wake: two sleeps end at different times."""
        return _WAKE in self.inputs

    def without(self, recorded: Sequence[Event]) -> list[Event]:
        """Return the events without those in which the secret arrives.

        These are its inputs and, if it is a wake, what happens until the next cycle begins. Times then count from the
        beginning of each cycle.
        """
        if not self.inputs:
            return list(recorded)
        kept: list[Event] = []
        asleep, origin_ns = False, 0
        for event in recorded:
            if isinstance(event, events.CycleBegan):
                asleep = False
                origin_ns = event.at_ns if self.moves_time else origin_ns
            if not asleep and not (isinstance(event, events.InputTaken) and event.input in self.inputs):
                kept.append(_counted(event, len(kept), origin_ns))
            asleep = asleep or (self.moves_time and isinstance(event, machine_events.Halted))
        return kept


def _counted(event: Event, seq: int, origin_ns: int) -> Event:
    """Return an event with its number among those that are kept, and with times that count from `origin_ns`."""
    moved = {"at_ns": event.at_ns - origin_ns, "seq": seq}
    if isinstance(event, events.WakeScheduled | events.Woken) and event.deadline_ns is not None:
        moved["deadline_ns"] = event.deadline_ns - origin_ns
    return msgspec.structs.replace(event, **moved)


def seen(first: Run, second: Run) -> list[str]:
    """Return where a guest could see the secret: `data and code`, `status word`, `memory`, `answers`."""
    found = ["data and code"] if _other_guests(first, second) else []
    pairs = list(zip(first.probes, second.probes, strict=False))
    for what, name in (("status word", STATUS), ("memory", MEMORY)):
        if any(
            {key: value for key, value in a.own.items() if key.startswith(name)}
            != {key: value for key, value in b.own.items() if key.startswith(name)}
            for a, b in pairs
        ):
            found.append(what)
    answers = [
        [e.result for e in run.events if isinstance(e, events.HostReturned) and e.number == HostFunction.GET_STATUS]
        for run in (first, second)
    ]
    return [*found, "answers"] if any(a != b for a, b in zip(*answers, strict=False)) else found


def _other_guests(first: Run, second: Run) -> bool:
    """Return True if a guest ran whose code or data differ."""
    ran = {event.payload for run in (first, second) for event in run.events if type(event) is events.GuestInstantiated}
    if first.scenario.configuration.engine.is_flat:
        ran = {0} if any(probe.own for run in (first, second) for probe in run.probes) else set()
    ours, theirs = (_guests(run.scenario) for run in (first, second))
    return any(ours.get(number) != theirs.get(number) for number in ran)


def _guests(scenario: Scenario) -> dict[int, list[bytes]]:
    """Return all that can run as each payload, without what a guest cannot see of it."""
    code = [[one] for one in read_payloads(scenario.payload, scenario.configuration.engine)]
    found = {number: list(map(_visible, several)) for number, several in enumerate(code)}
    for one in scenario.inputs:
        if isinstance(one, GuestReplaced):
            found.setdefault(one.payload, []).append(_visible(one.code))
    return found


def _visible(payload: bytes) -> bytes:
    """Return a module without its custom sections, such as signatures, which no guest sees; else the payload."""
    try:
        return b"".join(one.raw for one in sections(payload) if one.id != SectionId.CUSTOM)
    except MalformedModule:
        return payload
