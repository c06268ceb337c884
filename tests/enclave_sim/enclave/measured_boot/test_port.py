"""The attestation port: whatever the table in RAM says, the result is evidence or none, never an error."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim import events
from enclave_sim.attestation import Evidence
from enclave_sim.enclave.attester.attestation_port import (
    ACCEPTED,
    ADDRESS,
    CHALLENGE,
    EVIDENCE,
    ID,
    NONCE,
    PRESENT,
    REFUSED,
    RESULT,
    AttestationPort,
)
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge
from machine.machine import Machine, MachineConfiguration
from machine.state import Stateful
from tests.enclave_sim.enclave.measured_boot.support import reference

RAM = 1 << 20
TABLE = 0x1000


class Listener(Stateful):
    STATE = ("heard",)

    built_in = False

    def __init__(self, accepts: bool = True, silent: bool = False) -> None:
        self._accepts, self._silent = accepts, silent
        self.heard: list[Evidence] = []

    def challenge(self, cycle: int) -> bytes:
        if self._silent:
            raise NoChallenge("nobody there")
        return cycle.to_bytes(32, "big")

    def judge(self, evidence: Evidence) -> Judgement:
        self.heard = [*self.heard, evidence]
        return Judgement(self._accepts, "said")


class Recorder:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def record(self, event: Any) -> None:
        self.events.append(event)


def port(verifier: Any) -> tuple[AttestationPort, Machine, Recorder]:
    recorder = Recorder()
    machine = Machine(MachineConfiguration(RAM), recorder)
    return AttestationPort(machine.ram, machine.journal, verifier), machine, recorder


def shown(made: AttestationPort, machine: Machine, numbers: list[int], cycle: int = 3) -> Evidence:
    machine.ram.write(TABLE, struct.pack("<14I", *numbers))
    made.write(CHALLENGE, 4, cycle)
    made.write(EVIDENCE, 4, TABLE)
    assert made.evidence is not None
    return made.evidence


def test_it_is_there_and_refuses_until_it_accepts() -> None:
    assert ADDRESS == 0xFEF0_2000
    made, machine, _ = port(Listener())
    assert (made.read(ID, 4), made.read(RESULT, 4)) == (PRESENT, REFUSED)
    shown(made, machine, [0x2000, 4, 0x3000, 2, 0x4000, 2, 0x5000, 2, *[0] * 6])
    assert made.read(RESULT, 4) == ACCEPTED
    made.write(CHALLENGE, 4, 4)
    assert made.read(RESULT, 4) == REFUSED


def test_the_nonce_is_read_in_words_of_any_size_in_its_order() -> None:
    made, _, recorder = port(Listener())
    made.write(CHALLENGE, 4, 0x0102_0304)
    nonce = (0x0102_0304).to_bytes(32, "big")
    assert b"".join(made.read(NONCE + at, 8).to_bytes(8, "little") for at in range(0, 32, 8)) == nonce
    assert bytes(made.read(NONCE + at, 1) for at in range(32)) == nonce
    (event,) = recorder.events
    assert (event.cycle, event.nonce) == (0x0102_0304, nonce.hex())


def test_without_a_challenge_there_is_a_nonce_of_zeros_and_a_refusal_that_says_why() -> None:
    verifier = Listener(silent=True)
    made, machine, recorder = port(verifier)
    shown(made, machine, [0x2000, 4, *[0] * 12])
    assert [made.read(NONCE + at, 8) for at in range(0, 32, 8)] == [0] * 4
    assert made.read(RESULT, 4) == REFUSED
    assert verifier.heard == []
    (decided,) = recorder.events
    assert (type(decided), decided.verdict, decided.message) == (events.AttestationDecided, "refused", "nobody there")


def test_quotes_and_log_are_those_that_the_table_names() -> None:
    made, machine, _ = port(Listener())
    for n in range(7):
        machine.ram.write(0x2000 + 16 * n, b"%d blob" % n)
    evidence = shown(made, machine, [word for n in range(7) for word in (0x2000 + 16 * n, 6)])
    assert evidence.event_log == b"0 blob"
    assert [(q.attest, q.signature, q.public) for q in evidence.quotes] == [
        (b"1 blob", b"2 blob", b"3 blob"),
        (b"4 blob", b"5 blob", b"6 blob"),
    ]
    assert evidence.cycle == 3


@pytest.mark.parametrize("table", [RAM - 1, RAM, RAM - 55, 0xFFFF_FFFF, 0xFEF0_2000])
def test_a_table_outside_ram_names_nothing(table: int) -> None:
    made, _, _ = port(Listener(accepts=False))
    made.write(CHALLENGE, 4, 0)
    made.write(EVIDENCE, 4, table)
    assert made.evidence == Evidence(bytes(32), 0, (), b"")
    assert made.read(RESULT, 4) == REFUSED


@pytest.mark.parametrize(
    ("base", "length"), [(RAM - 3, 4), (RAM, 1), (0xFFFF_FFFF, 0xFFFF_FFFF), (0, 0x1_0001), (0, RAM), (0xFEF0_2000, 4)]
)
def test_a_blob_outside_ram_or_longer_than_any_is_empty(base: int, length: int) -> None:
    made, machine, _ = port(Listener())
    evidence = shown(made, machine, [base, length, 0x3000, 2, base, length, base, length, *[base, length] * 3])
    assert evidence.event_log == b""
    assert [(len(q.attest), q.signature, q.public) for q in evidence.quotes] == [(2, b"", b"")]


@pytest.mark.slow
@settings(max_examples=200)
@given(numbers=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, RAM), min_size=14, max_size=14))
def test_any_table_is_evidence_that_is_refused(numbers: list[int]) -> None:
    from enclave_sim.attestation import Policy
    from enclave_sim.enclave.attester.built_in import BuiltInVerifier

    made, machine, recorder = port(BuiltInVerifier(reference(), reference, Policy(), b"seed"))
    machine.ram.write(0, bytes(range(256)) * 64)
    shown(made, machine, numbers)
    assert made.read(RESULT, 4) == REFUSED
    message = recorder.events[-1].message
    assert message
    assert message.isprintable()


@settings(max_examples=100)
@given(offset=st.integers(0, 0xFFF), size=st.sampled_from([1, 2, 4, 8]), value=st.integers(0, 2**64 - 1))
def test_registers_that_are_not_there_read_as_zero_and_take_nothing(offset: int, size: int, value: int) -> None:
    made, _, recorder = port(Listener())
    if offset not in (CHALLENGE, EVIDENCE):
        made.write(offset, size, value)
        assert recorder.events == []
    if offset not in (ID, RESULT) and not NONCE <= offset < NONCE + 32:
        assert made.read(offset, size) == 0
