"""Attacks between TPM, node and verifier: each is refused, and the reason names it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim import Attestation, Enclave, events
from enclave_sim.attestation import Challenge, Evidence, Policy, Position, verify
from enclave_sim.attestation.formats.event_log import parse_event_log
from enclave_sim.enclave.attester.contract import Judgement
from enclave_sim.inputs import AfterEvent, MemoryFault
from machine.state import Stateful
from tests.enclave_sim.enclave.measured_boot.support import (
    CREATE_PRIMARY,
    QUOTE,
    Interposer,
    assert_refused,
    kinds,
    model,
    reference,
    required,
    without_ml_dsa,
)
from tests.machine.tpm import commands as tpm

BEFORE_THE_QUOTE = AfterEvent("verifier_challenged")
TPM_BUFFER = 0xF80


class Keeper(Stateful):
    """A verifier that keeps the evidence, and judges it by the rules; its nonces are given."""

    STATE = ("seen",)

    built_in = False

    def __init__(self, nonces: list[bytes]) -> None:
        self._nonces, self.seen = nonces, []  # type: tuple[list[bytes], list[Evidence]]

    def challenge(self, cycle: int) -> bytes:
        return self._nonces[cycle]

    def judge(self, evidence: Evidence) -> Judgement:
        self.seen = [*self.seen, evidence]
        verdict = verify(evidence, Challenge(self._nonces[evidence.cycle], evidence.cycle), reference())
        return Judgement(verdict.accepted, "; ".join(check.name for check in verdict.failures))


def evidence_of(nonce: bytes, **options: Any) -> Evidence:
    enclave = required(verifier=Keeper([nonce]), **options)
    enclave.run()
    assert enclave.evidence is not None
    return enclave.evidence


OLD, NEW = b"O" * 32, b"N" * 32


def failures(evidence: Evidence, **challenge: Any) -> list[str]:
    asked = Challenge(**{"nonce": NEW, "cycle": 0, "after": (), **challenge})
    return [check.name for check in verify(evidence, asked, reference()).failures]


def test_evidence_of_an_earlier_run_is_refused_as_it_is_and_with_the_new_nonce_written_over() -> None:
    old = evidence_of(OLD)
    assert failures(old) == ["nonce", "quote 1 extra data", "quote 2 extra data"]
    assert failures(replace(old, nonce=NEW)) == ["quote 1 extra data", "quote 2 extra data"]
    assert failures(evidence_of(NEW)) == []


def test_quotes_that_the_tpm_gave_before_and_somebody_plays_again_are_refused() -> None:
    """The attacker sits between node and TPM."""
    answers: list[bytes] = []

    def note(_at: int, command: bytes, go_on: Callable[[], bytes]) -> bytes:
        response = go_on()
        if tpm.code_of(command) == QUOTE:
            answers.append(response)
        return response

    def play(_at: int, command: bytes, go_on: Callable[[], bytes]) -> bytes:
        return answers.pop(0) if tpm.code_of(command) == QUOTE else go_on()

    evidence_of(OLD, tpm=Interposer(note))
    enclave = required(verifier=Keeper([NEW]), tpm=Interposer(play))
    assert_refused(enclave, "quote 1 extra data", "quote 2 extra data")


def test_evidence_of_an_older_cycle_and_of_an_older_boot_is_stale() -> None:
    second_boot = evidence_of(NEW, tpm_resets=1)
    assert failures(second_boot, after=(Position(1, 0, 0, 5),)) == []
    assert failures(second_boot, after=(Position(2, 0, 0, 0),)) == ["freshness"]
    assert failures(evidence_of(NEW), after=(Position(2, 0, 0, 0),)) == ["freshness"]
    assert failures(evidence_of(NEW), cycle=1)[:1] == ["cycle"]
    assert failures(replace(evidence_of(NEW), cycle=1), cycle=1) == ["quote 1 extra data", "quote 2 extra data"]


@pytest.mark.parametrize("options", [{"tpm": model("another")}, {"tpm_seed": "another"}], ids=["TPM", "seed"])
def test_another_tpm_with_keys_of_its_own_is_refused(options: dict[str, Any]) -> None:
    detail = assert_refused(required(**options), "quote 1 AK known", "quote 2 AK known").detail
    assert detail.count("; ") == 1


def test_keys_swapped_under_the_nose_of_the_kernel_are_refused() -> None:
    """The kernel's commands go to another TPM from the first key on: its registers are right, its keys are not."""
    other = Interposer(tpm=model("another"))
    other.execute(tpm.startup(), 0)

    def treat(_at: int, command: bytes, go_on: Callable[[], bytes]) -> bytes:
        answer = other.execute(command, 0) if command != tpm.startup() else b""
        return answer if tpm.code_of(command) in (CREATE_PRIMARY, QUOTE) else go_on()

    assert_refused(required(tpm=Interposer(treat)), "quote 1 AK known", "quote 2 AK known")


@pytest.mark.parametrize("number", [0, 1])
def test_the_public_area_of_another_key_is_refused(number: int) -> None:
    """It is presented beside the genuine quote."""
    genuine, other = evidence_of(NEW), evidence_of(NEW, tpm_seed="another")
    quotes = list(genuine.quotes)
    quotes[number] = quotes[number]._replace(public=other.quotes[number].public)
    found = failures(replace(genuine, quotes=tuple(quotes)))
    assert found == [f"quote {number + 1} {what}" for what in ("AK known", "signature", "qualified name")]


@pytest.mark.parametrize("pcr", range(8, 14))
def test_no_register_that_is_quoted_can_be_reset(pcr: int) -> None:
    device = Interposer()
    enclave = required(tpm=device)
    enclave.boot()
    for locality in range(5):
        response = device.tpm.execute(tpm.reset(pcr), locality)
        assert tpm.code_of(response) == 0x907  # TPM_RC_LOCALITY
    assert enclave.run().outcome == "COMPLETED"


def test_a_tpm_reset_in_the_middle_of_a_run_is_refused() -> None:
    """PCRs are zero and keys are lost; the attacker replays the log into the TPM, as far as it is known."""

    def restart(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        if at == 10:  # the first quote
            device.tpm.power_on()
            device.tpm.execute(tpm.startup(), 0)
            device.tpm.execute(tpm.create_primary(), 0)
            device.tpm.execute(tpm.create_primary(tpm.MLDSA_AK), 0)
        return go_on()

    device = Interposer(restart)
    assert_refused(required(tpm=device), "quote 1 PCR digest", "quote 2 PCR digest")


@pytest.mark.parametrize("pcr", range(8, 14))
def test_a_register_extended_by_somebody_else_is_refused(pcr: int) -> None:
    def meddle(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        if at == 10:
            device.tpm.execute(tpm.extend(pcr), 0)
        return go_on()

    device = Interposer(meddle)
    assert_refused(required(tpm=device), "quote 1 PCR digest", "quote 2 PCR digest")


def test_a_downgrade_to_p_256_alone_is_refused_where_both_are_demanded() -> None:
    both = Policy(frozenset({"ecdsa-p256", "ml-dsa-65"}))
    downgraded, whole = evidence_of(NEW, tpm=Interposer(without_ml_dsa(0x2C3))), evidence_of(NEW)
    challenge = Challenge(NEW, 0)
    for evidence in (downgraded, replace(whole, quotes=whole.quotes[:1])):
        assert [c.name for c in verify(evidence, challenge, reference(), both).failures] == ["signature algorithms"]
    twice = replace(whole, quotes=(whole.quotes[0], whole.quotes[0]))
    assert "signature algorithms" in [c.name for c in verify(twice, challenge, reference(), both).failures]
    assert verify(whole, challenge, reference(), both).accepted


# Data in RAM between measurement and quote.


def edited(address: int, bits: int, attestation: Attestation = Attestation.REQUIRE) -> Enclave:
    fault = MemoryFault(at_ns=0, after=BEFORE_THE_QUOTE, address=address, bits=bits)
    return Enclave("beacon", attestation=attestation, reference=reference("beacon", attestation), inputs=[fault])


def log_length() -> int:
    return len(evidence_of(NEW).event_log)


@pytest.mark.slow
@settings(max_examples=60)
@given(part=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_byte_of_the_event_log_changed_in_ram_is_refused(part: float, bits: int) -> None:
    """Anywhere: header, register, type, digest, data."""
    enclave = edited(firmware.built_in().symbols["event_log"] + int(part * log_length()), bits)
    assert_refused(enclave)
    (decided,) = kinds(enclave, events.AttestationDecided)
    assert decided.verdict == "refused"


@pytest.mark.parametrize("index", range(6))
def test_a_digest_changed_in_the_log_is_a_replay_that_does_not_come_out(index: int) -> None:
    log = evidence_of(NEW).event_log
    at = log.index(parse_event_log(log).events[index].digest)
    result = assert_refused(edited(firmware.built_in().symbols["event_log"] + at, 1))
    assert "quote 1 PCR digest: " in result.detail
    assert "quote 2 PCR digest: " in result.detail


@pytest.mark.parametrize(("index", "check"), [(0, "event order"), (2, "configuration data"), (5, "event order")])
def test_data_changed_in_the_log_is_named(index: int, check: str) -> None:
    log = evidence_of(NEW).event_log
    at = log.index(parse_event_log(log).events[index].data)
    assert_refused(edited(firmware.built_in().symbols["event_log"] + at + 1, 1), f"{check}: ")


@pytest.mark.parametrize("bits", [1, 4, 0x80])
@pytest.mark.parametrize("byte", range(4))
def test_a_length_of_the_log_that_is_not_its_own_is_refused(byte: int, bits: int) -> None:
    """Too short, too long, beyond the limit, beyond RAM."""
    assert_refused(edited(firmware.built_in().symbols["event_log_length"] + byte, bits))


KEY_BYTES = 8 + 2048


@pytest.mark.slow
@settings(max_examples=60)
@given(key=st.integers(0, 1), at=st.integers(0, 8 + 89), bit=st.integers(0, 7))
def test_keys_changed_in_ram_are_refused(key: int, at: int, bit: int) -> None:
    """Handle, length of the public area, public area."""
    enclave = edited(firmware.built_in().symbols["keys"] + key * KEY_BYTES + at, 1 << bit)
    assert_refused(enclave)


def test_what_is_changed_so_is_recorded_and_the_cycle_begins_where_the_policy_is_record() -> None:
    enclave = edited(firmware.built_in().symbols["event_log"] + 100, 1, Attestation.RECORD)
    result = enclave.run()
    assert (result.outcome, result.attestation.refused, len(result.signals)) == ("COMPLETED", 1, 1)
    assert not result.signals[0] & (1 << 4)
