"""A summary collects a run's outcome from its events, each counted in the right place."""

from typing import Any

import pytest

from enclave_sim import events
from enclave_sim.recording.outcome.residue import Residue, ResidueRange
from enclave_sim.recording.outcome.summary import AttestationSummary, PhaseSummary, RunResult, StepSummary, Summary
from machine.events import Event, RingTransition

RESIDUE = Residue((ResidueRange(0x1000, b"\1\2", "heap"), ResidueRange(0x2000, b"\3", "data")), 1 << 20)


def result(*seen: Event, residue: Residue = Residue((), 5), **ends: Any) -> RunResult:  # noqa: B008 - frozen
    summary = Summary()
    for event in seen:
        summary.record(event)
    known = {"halted": True, "virtual_ns": 9, "events": 8, "digest": "d", "firmware_sha256": "f", "serial": "s"}
    return summary.result(**{**known, "payload_sha256": ("p",), "residue": residue, **ends})


def transition(old: int, new: int, cause: str) -> RingTransition:
    return RingTransition(0, 1, old, new, cause, None, None, 0, 0)


def test_a_run_without_events_came_to_its_limit() -> None:
    found = result()
    assert (found.outcome, found.detail, found.cycles, found.host_calls, found.preemptions) == ("LIMIT", "", 0, 0, 0)
    assert (found.phases, found.signals, found.transitions, found.annihilation) == ((), (), {}, ())
    assert found.attestation == AttestationSummary(0, 0, "")
    assert (found.virtual_ns, found.events, found.digest, found.firmware_sha256) == (9, 8, "d", "f")
    assert (found.serial, found.payload_sha256) == ("s", "p")


def test_several_payloads_are_named_each() -> None:
    assert result(payload_sha256=("p", "q")).payload_sha256 == ("p", "q")


@pytest.mark.parametrize(("halted", "left", "clean"), [(True, 0, True), (True, 1, False), (False, 0, False)])
def test_clean_is_dormant_and_without_residue(halted: bool, left: int, clean: bool) -> None:
    residue = RESIDUE if left else Residue((), 5)
    found = result(halted=halted, residue=residue)
    assert (found.clean, found.halted) == (clean, halted)


def test_residue_is_reported_with_its_bytes() -> None:
    found = result(residue=RESIDUE)
    assert found.residue_bytes == 3
    assert found.residue == (
        {"region": "heap", "base": 0x1000, "bytes": "0102"},
        {"region": "data", "base": 0x2000, "bytes": "03"},
    )


def test_transitions_are_counted_by_rings_and_cause_in_order() -> None:
    found = result(
        transition(3, 0, "software_interrupt"),
        transition(0, 3, "interrupt_return"),
        transition(3, 0, "software_interrupt"),
    )
    assert list(found.transitions.items()) == [("0->3 interrupt_return", 1), ("3->0 software_interrupt", 2)]


@pytest.mark.parametrize(
    ("old", "cause", "preemptions"),
    [(3, "external_interrupt", 2), (0, "external_interrupt", 0), (3, "software_interrupt", 0)],
)
def test_a_preemption_is_an_external_interrupt_in_ring_3(old: int, cause: str, preemptions: int) -> None:
    assert result(*[transition(old, 3 - old, cause)] * 2).preemptions == preemptions


def test_cycles_and_signals_and_host_calls_are_counted() -> None:
    found = result(
        events.CycleBegan(0, 1, 0),
        events.SignalEmitted(0, 1, 7),
        events.SignalEmitted(0, 1, 0xFFFF_FFFF),
        *[events.HostCalled(0, 1, 1, "emit_signal", 2)] * 3,
        events.CycleBegan(0, 1, 4),
    )
    assert (found.cycles, found.signals, found.host_calls) == (5, (7, 0xFFFF_FFFF), 3)


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        ("memory_fault", 1),
        ("guest_replaced", 0),
        ("external_interrupt", 0),
        ("tamper", 0),
        ("sensor_value", 0),
        ("", 0),
    ],
)
def test_faults_of_memory_are_counted_among_the_inputs(kind: str, counted: int) -> None:
    summary = Summary()
    for _ in range(3):
        summary.record(events.InputTaken(0, 1, kind, None))
    assert summary.memory_faults == 3 * counted


@pytest.mark.parametrize(("before", "detail"), [([], ""), (["TAMPER"], ", TAMPER under way")])
def test_a_kernel_that_stopped_is_the_outcome_whether_dormant_or_not(before: list[str], detail: str) -> None:
    stopped = events.KernelStopped(0, 1, "it spins", 0x2A, 0x1234)
    for halted in (False, True):
        found = result(*map(began, before), stopped, halted=halted)
        assert (found.outcome, found.detail) == ("KERNEL_STOPPED", f"it spins, POST code 0x2a, RIP 0x1234{detail}")


def test_a_phase_has_when_it_was_entered_and_when_it_reached_its_target_state() -> None:
    entered, completed = events.PhaseEntered(0, 5, "BOOT"), events.PhaseCompleted(0, 8, "BOOT", "READY", 0)
    found = result(entered, completed, events.PhaseEntered(0, 9, "NEXT"))
    assert found.phases == (PhaseSummary("BOOT", "READY", 5, 8), PhaseSummary("NEXT", None, 9, None))


def decided(verdict: str, message: str) -> Event:
    return events.AttestationDecided(0, 1, 0, verdict, message)


def test_verdicts_are_counted_and_the_last_message_is_kept() -> None:
    found = result(decided("accepted", "a"), decided("refused", "b"), decided("accepted", "c"))
    assert found.attestation == AttestationSummary(2, 1, "c")


def began(cause: str, description: str = "why") -> Event:
    return events.AnnihilationBegan(0, 1, cause, 0, description)


def test_the_cause_is_the_outcome_of_a_run_that_is_dormant() -> None:
    steps = events.AnnihilationStep(0, 3, "A1", "cut"), events.AnnihilationStep(0, 4, "A2", "scrub")
    found = result(began("TAMPER"), *steps)
    assert (found.outcome, found.detail) == ("TAMPER", "why")
    assert found.annihilation == (StepSummary("A1", "cut", 3), StepSummary("A2", "scrub", 4))
    assert result(began("TAMPER"), halted=False).outcome == "LIMIT"


def test_what_annihilation_could_not_do_is_kept_and_follows_the_description() -> None:
    flaws = [events.AnnihilationFlawed(0, 2, 1, one) for one in ("this", "that", "this")]
    found = result(began("TAMPER"), *flaws)
    assert (found.flaws, found.detail) == (("this", "that"), "why, this, that")
    assert result(began("TAMPER")).clean
    assert not found.clean


def test_what_was_said_before_follows_the_description() -> None:
    rejected = events.PayloadRejected(0, 1, 0, "UNSIGNED", "no section")
    trapped = events.GuestTrapped(0, 1, "x", "out of bounds")
    assert result(rejected, began("PAYLOAD_REJECTED", "")).detail == "UNSIGNED: no section"
    assert result(rejected, began("PAYLOAD_REJECTED")).detail == "why, UNSIGNED: no section"
    assert result(trapped, began("GUEST_FAULT")).detail == "why, out of bounds"


def test_a_refusal_of_the_verifier_is_reported_where_it_is_the_cause() -> None:
    refused = decided("refused", "not on the list")
    assert result(refused, began("ATTESTATION_REFUSED")).detail == "why, not on the list"
    assert result(refused, began("TAMPER")).detail == "why"
    assert result(decided("accepted", "fine"), began("ATTESTATION_REFUSED")).detail == "why"


def test_the_json_is_one_object_with_every_field() -> None:
    import msgspec

    assert set(msgspec.json.decode(result().to_json())) == set(RunResult.__struct_fields__)
