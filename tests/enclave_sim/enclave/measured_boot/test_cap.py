"""Whatever ends an enclave, the runtime PCR shows it from then on, and no later quote claims otherwise."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import payloads
from enclave_sim import Attestation, Enclave, Phase, events
from enclave_sim.attestation import Challenge, Evidence, ReferenceValues, verify
from enclave_sim.attestation.formats.event_log import EV_ACTION, EventLog, PcrEvent, parse_event_log
from enclave_sim.inputs import Tamper
from enclave_sim.memory_map import region
from tests.enclave_sim.enclave.measured_boot.support import (
    CAP,
    CAPPED,
    EXTEND,
    SHUTDOWN,
    Interposer,
    crb,
    kinds,
    later_quote,
    pcr_values,
    required,
)
from tests.sampling import sampled

NONCE = b"a verifier's second thoughts....".ljust(32, b".")
Cause = Callable[[Interposer], Enclave]


def shredded(device: Interposer) -> Enclave:
    return Enclave("shredder", tpm=device)


def completed(device: Interposer) -> Enclave:
    return Enclave("beacon", tpm=device, cycles=3)


def guest_fault(device: Interposer) -> Enclave:
    return Enclave("trespasser", tpm=device)


def native_guest_fault(device: Interposer) -> Enclave:
    return Enclave("stray", tpm=device, engine="native")


def rejected(device: Interposer) -> Enclave:
    return Enclave(payloads.read("beacon")[:-1], tpm=device)


def refused(device: Interposer) -> Enclave:
    return Enclave("beacon", tpm=device, attestation=Attestation.REQUIRE, reference=ReferenceValues())


def arena_exhausted(device: Interposer) -> Enclave:
    return Enclave("beacon", tpm=device, arena_bytes=8)


def unasked_interrupt(device: Interposer) -> Enclave:
    enclave = Enclave("spinner", tpm=device)
    enclave.run(limit_ns=5_000_000)
    enclave.machine.request_interrupt(0x77)
    return enclave


def ring_0_fault(device: Interposer) -> Enclave:
    enclave = Enclave("spinner", tpm=device)
    enclave.run_to(Phase.MEM_MAP)
    enclave.machine.cpu.write_register("RSP", region("kernel_stack").base - 0x800)
    return enclave


def tampered(device: Interposer) -> Enclave:
    enclave = Enclave("spinner", tpm=device)
    enclave.run(limit_ns=5_000_000)
    enclave.tamper()
    return enclave


def tampered_asleep(device: Interposer) -> Enclave:
    enclave = Enclave("beacon", tpm=device, cycles=2, wake_ns=4_000_000_000)
    enclave.run(limit_ns=100_000_000)
    enclave.tamper()
    return enclave


CAUSES: dict[Cause, str] = {
    shredded: "SHRED_SELF",
    completed: "COMPLETED",
    guest_fault: "GUEST_FAULT",
    native_guest_fault: "GUEST_FAULT",
    rejected: "PAYLOAD_REJECTED",
    refused: "ATTESTATION_REFUSED",
    arena_exhausted: "KERNEL_FAULT",
    unasked_interrupt: "KERNEL_FAULT",
    ring_0_fault: "KERNEL_FAULT",
    tampered: "TAMPER",
    tampered_asleep: "TAMPER",
}


def later_evidence(device: Interposer, log: bytes) -> Evidence:
    """Evidence from someone who has the TPM and the log after the enclave has ended."""
    return Evidence(NONCE, 0, (later_quote(device.tpm, NONCE),), log)


def failures(evidence: Evidence, reference: ReferenceValues) -> list[str]:
    return [check.name for check in verify(evidence, Challenge(NONCE, evidence.cycle), reference).failures]


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_caps_the_runtime_register(cause: Cause) -> None:
    device = Interposer()
    enclave = cause(device)
    assert enclave.run().outcome == CAUSES[cause]
    assert pcr_values(device.tpm, [13])[0] in CAPPED
    assert device.codes[-2:] == [EXTEND, SHUTDOWN]
    capped = kinds(enclave, events.PcrExtended)[-1]
    assert (capped.pcr, capped.sha256) == (13, sha256(CAP).hexdigest())
    step = next(step for step in kinds(enclave, events.AnnihilationStep) if step.step == "A4")
    assert capped.seq < step.seq
    assert device.codes.count(SHUTDOWN) == 1


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause is not rejected])
def test_a_quote_after_the_end_is_refused_whatever_log_comes_with_it(cause: Cause) -> None:
    device = Interposer()
    enclave = cause(device)
    enclave.run()
    allowed = enclave.reference_values()
    log = enclave.evidence.event_log if enclave.evidence is not None else genuine_log()
    told = EventLog((*parse_event_log(log).events, PcrEvent.measured(13, EV_ACTION, sha256(CAP).digest(), CAP)))
    assert "quote 1 PCR digest" in failures(later_evidence(device, log), allowed)
    assert "not annihilated" in failures(later_evidence(device, told.encode()), allowed)


def genuine_log() -> bytes:
    enclave = Enclave("beacon")
    enclave.boot()
    assert enclave.evidence is not None
    return enclave.evidence.event_log


def test_the_same_quote_before_the_end_is_accepted() -> None:
    """So the tests above refuse only because of the cap."""
    device = Interposer()
    enclave = Enclave("beacon", tpm=device, cycles=2)
    enclave.boot()
    assert enclave.evidence is not None
    assert failures(later_evidence(device, enclave.evidence.event_log), enclave.reference_values()) == []


def tampered_at(at_ns: int, device: Interposer) -> Enclave:
    return Enclave("beacon", tpm=device, cycles=2, wake_ns=100_000, inputs=[Tamper(at_ns=at_ns)])


def assert_capped_or_untouched(device: Interposer, enclave: Enclave) -> None:
    assert enclave.run(limit_ns=100_000_000).outcome in ("TAMPER", "COMPLETED")
    assert enclave.dormant
    assert enclave.scan_residue().total_bytes == 0
    if device.codes:
        runtime = pcr_values(device.tpm, [13])[0]
        assert runtime in CAPPED or (runtime == bytes(32) and EXTEND not in device.codes)


@pytest.mark.slow
@settings(max_examples=50)
@given(at_ns=st.integers(0, 2_600_000))
def test_tampering_at_any_time_caps_the_runtime_register(at_ns: int) -> None:
    device = Interposer()
    enclave = tampered_at(at_ns, device)
    assert_capped_or_untouched(device, enclave)


@cache
def moments() -> list[int]:
    """The times of the TPM's responses."""
    enclave = Enclave("beacon", cycles=2, wake_ns=100_000)
    times: list[int] = []
    told = crb(enclave).on_command
    assert told is not None

    def note(command: bytes, response: bytes) -> None:
        times.append(enclave.machine.clock.now_ns)
        told(command, response)

    crb(enclave).on_command = note
    enclave.run()
    return times


@pytest.mark.slow
@pytest.mark.parametrize("number", sampled(range(14), 0, 5, 9, 13))
def test_tampering_in_the_middle_of_a_command_caps_the_runtime_register(number: int) -> None:
    """While the kernel reads the response, and just before and after."""
    at_ns = moments()[number]
    for offset in (-3, 1, 5, 12, 30, 60, 400):
        device = Interposer()
        assert_capped_or_untouched(device, tampered_at(at_ns + offset, device))


def test_another_boot_of_the_same_tpm_is_as_good_as_the_first() -> None:
    """The cap ends with the next reset, and the reset count tells the boots apart."""
    device = Interposer()
    first = required(tpm=device)
    assert first.run().outcome == "COMPLETED"
    second = required(tpm=device)
    assert second.run().outcome == "COMPLETED"
    assert [event.reset_count for event in kinds(second, events.Quoted)] == [2, 2]
    assert [event.reset_count for event in kinds(first, events.Quoted)] == [1, 1]
