"""Start-up and PCRs of the model, by the TPM 2.0 Library."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation.formats.quote import parse_quote
from machine.errors import MachineError
from machine.tpm.constants import Alg
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import FULL_TEST, SEED, created, model, pcr, pcrs_of, quoted


@pytest.mark.parametrize("sent", [FULL_TEST, tpm.extend(8), tpm.pcr_read(), tpm.get_capability(6)])
def test_nothing_but_startup_is_accepted_before_startup(sent: bytes) -> None:
    made = TpmModel(SEED)
    assert tpm.code_of(made.execute(sent, 0)) == 0x100
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0
    assert tpm.code_of(made.execute(sent, 0)) == 0
    made.power_on()
    assert tpm.code_of(made.execute(sent, 0)) == 0x100


def test_startup_is_accepted_once() -> None:
    assert tpm.code_of(model().execute(tpm.startup(), 0)) == 0x100


def test_resume_needs_a_state_that_was_saved() -> None:
    made = TpmModel(SEED)
    assert tpm.code_of(made.execute(tpm.startup(tpm.STATE), 0)) == 0x1C4


def counts(made: TpmModel) -> tuple[int, int, bool]:
    """Reset count, restart count and safe, from a quote."""
    handle = created(made.execute(tpm.create_primary(), 0)).handle
    clock = parse_quote(quoted(made.execute(tpm.quote(handle, b""), 0)).attest).clock_info
    return clock.reset_count, clock.restart_count, clock.safe


@pytest.mark.parametrize(
    ("shutdown", "startup", "expected", "kept"),
    [
        (None, tpm.CLEAR, (7, 0, 0), False),  # TPM Reset, not orderly
        (tpm.CLEAR, tpm.CLEAR, (7, 0, 1), False),  # TPM Reset
        (tpm.STATE, tpm.CLEAR, (6, 1, 1), False),  # TPM Restart
        (tpm.STATE, tpm.STATE, (6, 1, 1), True),  # TPM Resume
    ],
)
def test_startup_counts_resets_and_restarts(
    shutdown: bytes | None, startup: bytes, expected: tuple[int, int, int], kept: bool
) -> None:
    made = model(tpm.extend(8), tpm.extend(16), reset_count=5)
    before = pcr(made, 8)
    if shutdown is not None:
        made.execute(tpm.shutdown(shutdown), 0)
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(startup), 0)) == 0
    assert (pcr(made, 8), pcr(made, 16)) == (before if kept else bytes(32), bytes(32))
    assert counts(made) == expected


def test_an_extend_takes_back_the_saved_state() -> None:
    made = model(tpm.shutdown(tpm.STATE), tpm.extend(0))
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(tpm.STATE), 0)) == 0x1C4


def test_time_goes_on_over_resets() -> None:
    clocks = []
    made = model()
    for _ in range(3):
        made.execute(tpm.create_primary(), 0)
        attest = quoted(made.execute(tpm.quote(nonce=b""), 0)).attest
        clocks.append(parse_quote(attest).clock_info.clock)
        made.power_on()
        made.execute(tpm.startup(), 0)
    assert clocks == [(1 << 20) + 2, (2 << 20) + 2, (3 << 20) + 2]


@pytest.mark.parametrize(("seed", "resets"), [(b"", 0), (b"s" * 15, 0), (SEED, -1), (SEED, 0xFFFF_FFFF)])
def test_a_model_that_cannot_be_is_refused(seed: bytes, resets: int) -> None:
    with pytest.raises(MachineError):
        TpmModel(seed, resets)


def test_pcrs_of_the_dynamic_root_of_trust_start_as_ones_all_others_as_zero() -> None:
    made = model()
    assert [pcr(made, n) for n in range(24)] == [b"\xff" * 32 if 17 <= n <= 22 else bytes(32) for n in range(24)]


@given(digests=st.lists(st.binary(min_size=32, max_size=32), max_size=4), number=st.integers(0, 15))
def test_extend_hashes_the_old_value_and_the_measurement(digests: list[bytes], number: int) -> None:
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    assert pcr(model(*[tpm.extend(number, digest) for digest in digests]), number) == value


@given(data=st.binary(max_size=1024))
def test_an_event_is_the_extend_of_its_digest(data: bytes) -> None:
    made = TpmModel(SEED)
    made.execute(tpm.startup(), 0)
    response = made.execute(tpm.event(9, data), 0)
    assert b"\x00\x0b" + hashlib.sha256(data).digest() in response
    assert pcr(made, 9) == pcr(model(tpm.extend(9, hashlib.sha256(data).digest())), 9)


def test_a_bank_that_is_not_there_ignores_extends_and_is_not_read() -> None:
    made = model(tpm.extend(8, b"1" * 20, Alg.SHA1))
    read = pcrs_of(made.execute(tpm.pcr_read(tpm.selection((Alg.SHA1, 0x100))), 0))
    assert read == (tpm.selection((Alg.SHA1, 0)), [])
    assert pcr(made, 8) == bytes(32)
    assert tpm.code_of(made.execute(tpm.extend(8, b"1" * 32, 0x0012), 0)) == 0x1C3


@pytest.mark.parametrize("number", range(24))
def test_only_pcrs_16_and_23_can_be_reset(number: int) -> None:
    made = model(tpm.extend(number)) if number in (*range(17), 23) else model()
    before = pcr(made, number)
    code = tpm.code_of(made.execute(tpm.reset(number), 0))
    assert (code, pcr(made, number)) == ((0, bytes(32)) if number in (16, 23) else (0x907, before))


MALFORMED_SELECTIONS = {
    "a bank that no algorithm has": (tpm.selection((0x0012, 0x100)), 0x1C3),
    "two bytes of PCRs": (tpm.u32(1) + tpm.bank(Alg.SHA256, b"\0\1"), 0x1C4),
    "four bytes of PCRs": (tpm.u32(1) + tpm.bank(Alg.SHA256, b"\0\1\0\0"), 0x1C4),
    "no bytes of PCRs": (tpm.u32(1) + tpm.bank(Alg.SHA256, b""), 0x1C4),
    "more banks than there are algorithms": (tpm.selection(*[(Alg.SHA256, 1)] * 5), 0x1D5),
    "a second bank that is missing": (tpm.selection((Alg.SHA256, 0x100), count=2), 0x1DA),
    "a PCR bitmap cut short": (tpm.selection((Alg.SHA256, 0x100))[:-1], 0x1DA),
}


@pytest.mark.parametrize("name", MALFORMED_SELECTIONS)
def test_a_malformed_selection_of_pcrs_is_refused(name: str) -> None:
    """Part 2, 10.6.1 and 10.9.7; the parameter's number is in bits 8 to 11 of the response code, with bit 6."""
    chosen, code = MALFORMED_SELECTIONS[name]
    made = model(tpm.create_primary())
    assert tpm.code_of(made.execute(tpm.pcr_read(chosen), 0)) == code
    third_of_quote = code & 0xFF | 0x300
    assert tpm.code_of(made.execute(tpm.quote(pcrs=chosen), 0)) == third_of_quote


def test_a_selection_may_name_each_algorithm_and_a_bank_twice() -> None:
    made = model(tpm.extend(8))
    every = tpm.selection((Alg.SHA1, 1), (Alg.SHA256, 0x100), (Alg.SHA384, 1), (Alg.SHA256, 0x100))
    read = pcrs_of(made.execute(tpm.pcr_read(every), 0))
    assert read.selection == tpm.selection((Alg.SHA1, 0), (Alg.SHA256, 0x100), (Alg.SHA384, 0), (Alg.SHA256, 0x100))
    assert read.values == [pcr(made, 8)] * 2


def test_no_more_than_eight_values_are_read_and_the_selection_says_which() -> None:
    made = model(*[tpm.extend(n, bytes([n]) * 32) for n in range(3, 14)])
    read = pcrs_of(made.execute(tpm.pcr_read(tpm.selection((Alg.SHA256, 0x3FF8))), 0))
    assert read == (tpm.selection((Alg.SHA256, 0x07F8)), [pcr(made, n) for n in range(3, 11)])
