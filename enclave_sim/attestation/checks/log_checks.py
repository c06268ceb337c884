"""The checks of an event log: measurements, their order, and the allow lists."""

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from enclave_sim.attestation.checks.checklist import Checklist
from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.formats.event_log import (
    EV_ACTION,
    EV_IPL,
    EventLog,
    PcrEvent,
    SpecIdEvent,
    parse_event_log,
)
from enclave_sim.attestation.reference_values import NO_TRUST_ANCHORS, ReferenceValues

LOADER_INFORMATION = (8, EV_IPL, b"loader information")
KERNEL_IMAGE = (9, EV_IPL, b"kernel image")
CONFIGURATION_PCR = 10
PAYLOAD_PCR = 11
TRUST_ANCHORS = (12, EV_IPL, b"trust anchors")
ACTIVE = (13, EV_ACTION, b"AETHER ACTIVE")
ANNIHILATED = b"AETHER ANNIHILATED"
"""The data of the event of the cap, which is a fault in every PCR."""


class Measurements(NamedTuple):
    """The events of a correctly ordered log, by the thing measured."""

    kernel_image: PcrEvent
    loader_information: PcrEvent
    configuration: PcrEvent
    trust_anchors: PcrEvent | None
    payloads: tuple[PcrEvent, ...]
    active: PcrEvent


def check_log(checklist: Checklist, data: bytes, reference: ReferenceValues) -> EventLog | None:
    """Make all checks of the log itself; another check compares it with a quote. Return the log if it can be read."""
    log = checklist.read("event log", data, "", parse_event_log, "is a TCG crypto-agile log")
    checklist.check("event log header", log, "event log", _header)
    checklist.check("not annihilated", log, "event log", _alive)
    measured = checklist.read("event order", log, "event log", in_order, "every event is where it must be")

    def check(name: str, function: Callable[[Measurements], str]) -> None:
        checklist.check(name, measured, "event order", function)

    check("kernel image", lambda found: _allowed(found.kernel_image, reference.firmware))
    check("loader information", lambda found: _allowed(found.loader_information, reference.loader_information))
    check("configuration data", lambda found: _own_digest(found.configuration))
    check("configuration", lambda found: _allowed(found.configuration, reference.configurations))
    check("trust anchors", lambda found: _anchors(found, reference))
    check("payloads", lambda found: _payloads(found, reference))
    check("active data", lambda found: _own_digest(found.active))
    return log


def in_order(log: EventLog) -> Measurements:
    """Sort the events by the thing measured. Raises EvidenceError for one missing, repeated, misplaced or extra."""
    events = log.events
    anchored = len(events) > 3 and events[3].pcr == TRUST_ANCHORS[0]
    payloads = max(1, len(events) - 4 - anchored)
    expected: list[tuple[int, int, bytes | None]] = [
        KERNEL_IMAGE,
        LOADER_INFORMATION,
        (CONFIGURATION_PCR, EV_IPL, None),
        *([TRUST_ANCHORS] if anchored else []),
        *((PAYLOAD_PCR, EV_IPL, b"payload %d" % index) for index in range(payloads)),
        ACTIVE,
    ]
    for index, (pcr, kind, data) in enumerate(expected):
        right = f"expected {_described(pcr, kind, data)}"
        if index >= len(events):
            raise EvidenceError(f"event {index} is missing; {right}")
        event = events[index]
        if (event.pcr, event.type) != (pcr, kind) or (data is not None and event.data != data):
            raise EvidenceError(f"event {index} is {_described(event.pcr, event.type, event.data)}; {right}")
    first_payload = 3 + anchored
    return Measurements(
        events[0], events[1], events[2], events[3] if anchored else None, events[first_payload:-1], events[-1]
    )


def _described(pcr: int, kind: int, data: bytes | None) -> str:
    what = "the command line" if data is None else ascii(data[:40].decode("latin-1"))
    return f"PCR {pcr}, type {kind}, {what}"


def _header(log: EventLog) -> str:
    # The header is not measured, so every field must have its only valid value.
    if log.header != SpecIdEvent():
        raise EvidenceError(f"the Spec ID event is {log.header}; expected {SpecIdEvent()}")
    return "Spec ID event of a log with only the SHA-256 bank"


def _alive(log: EventLog) -> str:
    for index, event in enumerate(log.events):
        if event.data == ANNIHILATED:
            raise EvidenceError(f"event {index} is the cap: the enclave had been annihilated when this was quoted")
    return "no cap in the log"


def _allowed(event: PcrEvent, allow_list: frozenset[str]) -> str:
    digest = event.digest.hex()
    if digest not in allow_list:
        raise EvidenceError(f"{digest} is not on the allow list of {len(allow_list)}")
    return f"{digest} is allowed"


def _own_digest(event: PcrEvent) -> str:
    if event.digest != sha256(event.data).digest():
        raise EvidenceError(f"the digest {event.digest.hex()} is not that of the event's data")
    return "the digest is that of the event's data"


def _anchors(found: Measurements, reference: ReferenceValues) -> str:
    if found.trust_anchors is not None:
        return _allowed(found.trust_anchors, reference.trust_anchors)
    if NO_TRUST_ANCHORS not in reference.trust_anchors:
        raise EvidenceError(f"none are measured; an allow list with {NO_TRUST_ANCHORS!r} in it would let that pass")
    return "none are measured, which is allowed"


def _payloads(found: Measurements, reference: ReferenceValues) -> str:
    for index, event in enumerate(found.payloads):
        if event.digest.hex() not in reference.payloads:
            count = len(reference.payloads)
            raise EvidenceError(f"payload {index}: {event.digest.hex()} is not on the allow list of {count}")
    count = len(found.payloads)
    return "1 payload, allowed" if count == 1 else f"{count} payloads, all allowed"
