"""Responses of the model: to anything, in failure mode, about itself, and again."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.tpm.constants import ECC_NIST_P256, MANUFACTURER, Alg, Code, Rc, Tag
from machine.tpm.messages import error_response
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import FULL_TEST, SEED, capability_of, model

HANDLES, COMMANDS, PCRS, PROPERTIES, CURVES = 1, 2, 5, 6, 8
"""TPM_CAP."""
ONE_HANDLE, CHANGES_NV = 1 << 25, 1 << 22
"""TPMA_CC."""


def test_response_codes_name_what_is_wrong() -> None:
    made = model()
    wrong = {
        tpm.command(0x1FF): 0x143,
        tpm.extend(8) + b"\0": 0x142,
        tpm.command(Code.PCR_EXTEND, tpm.u32(8)): 0x125,
        tpm.authorized(Code.PCR_EXTEND, [24]): 0x184,
        tpm.extend(8, b"d" * 33): 0x095,
        tpm.extend(8, b"d" * 31): 0x1DA,
        tpm.authorized(Code.PCR_EXTEND, [8], tpm.digest_values(count=5)): 0x1D5,
        tpm.quote(tpm.FIRST_KEY): 0x910,
        tpm.quote(tpm.NULL): 0x2D2,
        tpm.with_tag(tpm.shutdown(), Tag.RSP_COMMAND): 0x01E,
    }
    assert {sent: tpm.code_of(made.execute(sent, 0)) for sent in wrong} == wrong


def test_a_command_of_more_than_4096_bytes_is_refused() -> None:
    assert [
        tpm.code_of(model().execute(tpm.command(Code.GET_TEST_RESULT, bytes(size)), 0)) for size in (4086, 4087)
    ] == [0x095, 0x142]


anything: Any = st.one_of(
    st.binary(max_size=64),
    st.builds(
        lambda tag, code, body: tpm.command(code, body, tag=tag),
        st.sampled_from([Tag.NO_SESSIONS, Tag.SESSIONS]),
        st.sampled_from([*Code]),
        st.binary(max_size=80),
    ),
)


@given(sent=anything, locality=st.integers(0, 4), failed=st.booleans())
def test_any_bytes_get_a_whole_response(sent: bytes, locality: int, failed: bool) -> None:
    made = model(tpm.create_primary())
    if failed:
        made.fail()
    response = made.execute(sent, locality)
    assert tpm.size_of(response) == len(response)
    if tpm.code_of(response):
        assert response == error_response(tpm.code_of(response))


def changed(sent: bytes, at: int, value: int) -> bytes:
    return sent[: at % len(sent)] + bytes([value]) + sent[at % len(sent) + 1 :]


@given(
    sent=st.sampled_from([tpm.extend(8), tpm.create_primary(), tpm.quote(), tpm.flush(), tpm.shutdown(tpm.STATE)]),
    at=st.integers(0, 200),
    value=st.integers(0, 255),
)
def test_a_command_that_fails_changes_nothing(sent: bytes, at: int, value: int) -> None:
    made = model(tpm.create_primary())
    before = made.save_state()
    response = made.execute(changed(sent, at, value), 0)
    after = made.save_state()
    if tpm.code_of(response):
        before["_state"]["commands"] += 1
        assert after == before


def test_in_failure_mode_the_tpm_says_so_and_nothing_more() -> None:
    made = model()
    made.fail()
    for sent in (tpm.pcr_read(), tpm.extend(8), tpm.quote(), tpm.startup(), b"", tpm.get_capability(5)):
        assert made.execute(sent, 0) == error_response(Rc.FAILURE)
    result = made.execute(tpm.command(Code.GET_TEST_RESULT), 0)
    assert (tpm.code_of(result), result[-4:]) == (0, tpm.u32(0x101))
    manufacturer = capability_of(made.execute(tpm.get_capability(PROPERTIES, 0, 9), 0))
    assert manufacturer == (1, PROPERTIES, 1, tpm.u32(0x105) + MANUFACTURER)
    for first, count in ((0, 0), (0x10D, 1)):
        found = capability_of(made.execute(tpm.get_capability(PROPERTIES, first, count), 0))
        assert found[1:] == (PROPERTIES, 0, b"")
    for first in range(0x105, 0x10D):  # one property at a time, and whether there are more
        found = capability_of(made.execute(tpm.get_capability(PROPERTIES, first, 9), 0))
        assert (found[0], found[3][:4]) == (first < 0x10C, tpm.u32(first))
    for cut in (tpm.with_size(tpm.get_capability(PROPERTIES)[:-4]), tpm.get_capability(PCRS, 0, 9)):
        assert tpm.code_of(made.execute(cut, 0)) == Rc.FAILURE
    longer = tpm.with_code(tpm.get_capability(PROPERTIES, 0, 0), Code.GET_TEST_RESULT)
    assert tpm.code_of(made.execute(longer, 0)) == Rc.FAILURE
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0


ENTRY_BYTES = {0: 6, 1: 4, 2: 4, 3: 4, 4: 4, 6: 8, 7: 8, 8: 2, 9: 38}
"""Of the groups that can be read in pieces; PCRs (5) come all at once."""
EMPTY = {3, 4, 9}


@pytest.mark.parametrize("group", sorted(ENTRY_BYTES))
def test_capabilities_read_piece_by_piece_are_those_read_at_once(group: int) -> None:
    made = model(tpm.create_primary())
    first = {1: 0x4000_0000, 9: 0x4000_0000}.get(group, 0)
    more, of, count, entries = capability_of(made.execute(tpm.get_capability(group, first), 0))
    assert (more, of) == (0, group)
    assert (count == 0) == (group in EMPTY)
    assert len(entries) == count * ENTRY_BYTES[group]
    for asked in range(count + 2):
        piece = capability_of(made.execute(tpm.get_capability(group, first, asked), 0))
        given = min(asked, count)
        assert piece == (asked < count, group, given, entries[: given * ENTRY_BYTES[group]])


def test_pcr_banks_come_all_at_once_or_not_at_all() -> None:
    made = model()
    banks = [(Alg.SHA1, b"\0\0\0"), (Alg.SHA256, b"\xff\xff\xff"), (Alg.SHA384, b"\0\0\0"), (Alg.SHA512, b"\0\0\0")]
    every = b"".join(tpm.bank(*one) for one in banks)
    for asked in (1, 2, 127):
        assert capability_of(made.execute(tpm.get_capability(PCRS, 0, asked), 0)) == (0, PCRS, 4, every)
    assert capability_of(made.execute(tpm.get_capability(PCRS, 0, 0), 0)) == (1, PCRS, 0, b"")
    assert tpm.code_of(made.execute(tpm.get_capability(PCRS, 1), 0)) == 0x2C4


def test_a_request_names_the_first_property_that_is_wanted() -> None:
    made = model()
    curve = tpm.u16(ECC_NIST_P256)
    assert capability_of(made.execute(tpm.get_capability(CURVES, 3), 0)) == (0, CURVES, 1, curve)
    assert capability_of(made.execute(tpm.get_capability(CURVES, 4), 0)) == (0, CURVES, 0, b"")
    read = capability_of(made.execute(tpm.get_capability(COMMANDS, Code.PCR_READ, 1), 0))
    assert read.entries == tpm.u32(Code.PCR_READ)
    following = capability_of(made.execute(tpm.get_capability(COMMANDS, Code.PCR_READ + 1, 1), 0))
    assert following.entries == tpm.u32(Code.PCR_EXTEND | ONE_HANDLE | CHANGES_NV)


def test_loaded_keys_are_listed() -> None:
    made = model(tpm.create_primary(), tpm.create_primary(), tpm.flush())
    found = capability_of(made.execute(tpm.get_capability(HANDLES, tpm.FIRST_KEY), 0))
    assert (found.entry_count, found.entries) == (1, tpm.u32(tpm.FIRST_KEY + 1))


TRANSCRIPT = [
    tpm.startup(),
    FULL_TEST,
    *[tpm.get_capability(group) for group in range(10)],
    tpm.get_random(64),
    *[tpm.extend(n) for n in range(8, 14)],
    tpm.create_primary(),
    tpm.create_primary(tpm.MLDSA_AK),
    tpm.quote(0x8000_0000),
    tpm.quote(0x8000_0001),
    tpm.shutdown(),
]


def test_the_same_seed_and_the_same_commands_give_the_same_bytes_for_ever() -> None:
    made = TpmModel(SEED, 41)
    digest = hashlib.sha256(b"".join(made.execute(sent, 0) for sent in TRANSCRIPT)).hexdigest()
    assert digest == "76f9b589d2d0af7e3d461651cc4ebcf9a9a121c462c3ee5d0172edb741afc084"


def test_random_bytes_differ_from_call_to_call_and_boot_to_boot() -> None:
    ask = tpm.get_random(32)
    first = model()
    found = [first.execute(ask, 0), first.execute(ask, 0), model(reset_count=1).execute(ask, 0)]
    first.power_on()
    first.execute(tpm.startup(), 0)
    found.append(first.execute(ask, 0))
    assert len(set(found)) == 4
    assert model().execute(ask, 0) == found[0]
