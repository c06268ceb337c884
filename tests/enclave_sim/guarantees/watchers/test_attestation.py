"""The watcher of attestation, event by event: its counts, its demands on each phase, and its findings."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from enclave_sim import events
from enclave_sim.attestation import Check, Position, Verdict
from enclave_sim.guarantees.watchers.attestation import AttestationWatcher
from enclave_sim.specification import Attestation, EngineName, Phase, Step
from machine.events import Event, RingTransition

CAP = "6b5d1a6c2b"
PHASES = {
    Phase.PROT_ENTRY: {8: 1, 9: 1, 10: 1},
    Phase.WASM_INIT: {11: 2, 12: 1},
    Phase.EXEC_LOOP: {13: 1},
}
"""Measurements present at the end of each phase, for two payloads."""
POSITION = Position(1, 2, 3, 4)


def watching(
    attestation: Attestation = Attestation.REQUIRE, *, native: bool = False, payloads: int = 2
) -> AttestationWatcher:
    watcher = AttestationWatcher()
    configuration = SimpleNamespace(attestation=attestation, post_quantum=False)
    enclave: Any = SimpleNamespace(configuration=configuration, payloads=[b""] * payloads)
    watcher.enclave, watcher.engine = enclave, EngineName.NATIVE if native else EngineName.WASMTIME
    return watcher


def given(watcher: AttestationWatcher, *happened: Event) -> list[str]:
    """A watcher's findings for some events."""
    handlers = watcher.handlers()
    before = len(watcher.findings)
    for event in happened:
        handlers[type(event)](event)
    return [finding.what for finding in watcher.findings[before:]]


def extended(pcr: int, digest: str = "00") -> events.PcrExtended:
    return events.PcrExtended(0, 7, pcr, "something", digest)


def completed(phase: Phase) -> events.PhaseCompleted:
    return events.PhaseCompleted(0, 99, phase.name, "STATE", 0)


def entered(ring: int = 3) -> RingTransition:
    return RingTransition(0, 55, 0, ring, "interrupt_return", None, None, 0, 0)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_each_phase_ends_with_its_measurements(phase: Phase, more: int) -> None:
    needed = PHASES.get(phase, {})
    for spoilt in needed or [None]:
        watcher = watching()
        for pcr, times in needed.items():
            given(watcher, *[extended(pcr)] * (times + more * (pcr == spoilt)))
        found = given(watcher, completed(phase))
        if more and spoilt is not None:
            right = needed[spoilt]
            assert found == [f"{phase.name} ended with {right + more} measurements in PCR {spoilt}, not {right}"]
            assert watcher.findings[-1].at_ns == 99
        else:
            assert found == []


def test_measurements_are_counted() -> None:
    watcher = watching()
    given(watcher, extended(8), extended(8), extended(9))
    assert watcher.looked_at == {"measurements": 3}


def test_a_flat_guest_has_no_trust_anchors() -> None:
    watcher = watching(native=True, payloads=1)
    assert given(watcher, extended(11), completed(Phase.WASM_INIT)) == []
    assert given(watcher, extended(11), completed(Phase.WASM_INIT)) == [
        "WASM_INIT ended with 2 measurements in PCR 11, not 1"
    ]


def test_without_attestation_nothing_is_measured() -> None:
    watcher = watching(Attestation.OFF)
    assert given(watcher, *map(completed, Phase), events.PayloadMeasured(0, 0, 0, 1, "x"), entered()) == []


@pytest.mark.parametrize("attestation", [Attestation.RECORD, Attestation.REQUIRE])
@pytest.mark.parametrize(("measured", "used", "early"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 1, False)])
def test_a_payload_is_measured_before_it_is_used(
    attestation: Attestation, measured: int, used: int, early: bool
) -> None:
    watcher = watching(attestation)
    given(watcher, *[extended(11)] * measured)
    found = given(watcher, events.PayloadMeasured(0, 44, used, 1, "x"))
    assert found == ([f"payload {used} was used before it was measured"] if early else [])
    assert [finding.at_ns for finding in watcher.findings] == [44] * early


NO_QUOTE = "a cycle was entered although its evidence is not good: no quote was shown"


def test_a_cycle_that_is_entered_without_a_quote_is_found_once() -> None:
    watcher = watching()
    began = events.CycleBegan(0, 0, 0)
    assert given(watcher, entered(0)) == []
    assert given(watcher, entered(), entered(0), entered()) == [NO_QUOTE]
    assert watcher.findings[-1].at_ns == 55
    assert given(watcher, began, entered(), entered()) == [NO_QUOTE]
    assert given(watching(Attestation.RECORD), began, entered()) == []


def decided(verdict: str, cycle: int = 3) -> events.AttestationDecided:
    return events.AttestationDecided(0, 66, cycle, verdict)


GOOD = Verdict((Check("one", True, "fine"),), POSITION, 3)
BAD = Verdict((Check("one", False, "wrong"), Check("two", True, "fine"), Check("three", False, "no")), None, None)


@pytest.mark.parametrize("attestation", [Attestation.RECORD, Attestation.REQUIRE])
def test_a_verdict_is_compared_with_the_watchers_own(attestation: Attestation) -> None:
    fault = "one: wrong; three: no"
    late = [f"a cycle was entered although its evidence is not good: {fault}"] * (attestation is Attestation.REQUIRE)
    for verdict, claimed, found in (
        (GOOD, "accepted", []),
        (GOOD, "refused", []),
        (BAD, "accepted", [f"the evidence for cycle 3 was accepted, but {fault}", *late]),
        (BAD, "refused", late),
    ):
        watcher = watching(attestation)
        with patch.object(AttestationWatcher, "_verdict", lambda _watcher, _cycle, verdict=verdict: verdict):
            assert given(watcher, events.CycleBegan(0, 0, 3), decided(claimed), entered()) == found
        assert watcher.looked_at == {"quotes": 1}
        assert watcher._after == ((POSITION,) if verdict is GOOD else ())


def test_what_was_accepted_for_one_cycle_says_nothing_of_the_next() -> None:
    watcher = watching()
    with patch.object(AttestationWatcher, "_verdict", lambda _watcher, _cycle: GOOD):
        assert given(watcher, events.CycleBegan(0, 0, 3), decided("accepted"), entered()) == []
        assert given(watcher, events.CycleBegan(0, 0, 4), entered()) == [NO_QUOTE]


@pytest.mark.parametrize("both", [False, True])
def test_evidence_is_verified_for_the_nonce_the_cycle_and_the_last_position(both: bool) -> None:
    watcher = watching()
    enclave: Any = watcher.enclave
    enclave.configuration.post_quantum = both
    enclave.evidence, enclave.reference_values = "evidence", lambda: "reference"
    asked = []

    def verify(*arguments: Any) -> Verdict:
        asked.append(arguments)
        return GOOD

    with patch("enclave_sim.guarantees.watchers.attestation.verify", verify):
        given(watcher, events.VerifierChallenged(0, 0, 3, "ab" * 32), decided("accepted", 3))
        enclave.reference_values = None  # requested once
        given(watcher, events.VerifierChallenged(0, 0, 4, "cd" * 32), decided("accepted", 4))
    algorithms = frozenset(["ecdsa-p256", "ml-dsa-65"] if both else ["ecdsa-p256"])
    for (evidence, challenge, reference, policy), nonce, cycle, after in zip(
        asked, (b"\xab" * 32, b"\xcd" * 32), (3, 4), ((), (POSITION,)), strict=True
    ):
        assert (evidence, reference, policy.signatures) == ("evidence", "reference", algorithms)
        assert (challenge.nonce, challenge.cycle, challenge.after) == (nonce, cycle, after)


@pytest.mark.parametrize(
    ("happened", "capped"),
    [
        ([], True),
        ([(13, "active")], False),
        ([(13, "active"), (13, CAP)], True),
        ([(13, CAP), (13, "active")], False),
        ([(12, CAP)], False),
        ([(14, CAP)], False),
    ],
)
@pytest.mark.parametrize("step", Step)
def test_the_runtime_register_is_capped_last(
    monkeypatch: pytest.MonkeyPatch, step: Step, happened: list[tuple[int, str]], capped: bool
) -> None:
    monkeypatch.setattr("enclave_sim.guarantees.watchers.attestation._CAP", CAP)
    watcher = watching()
    given(watcher, *(extended(*one) for one in happened))
    found = given(watcher, events.AnnihilationStep(0, 88, step.name, ""))
    what = "the runtime PCR was not capped: a later quote could claim the active state"
    assert found == ([what] if step is Step.A4 and not capped else [])
