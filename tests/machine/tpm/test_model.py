"""Responses of the model: to anything, in failure mode, about itself, and again."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import FULL_TEST, SEED, model


def test_response_codes_name_what_is_wrong() -> None:
    made = model()
    wrong = {
        tpm.command(0x1FF): 0x143,
        tpm.extend(8) + b"\0": 0x142,
        tpm.command(0x182, tpm.u32(8)): 0x125,
        tpm.authorized(0x182, [24], b""): 0x184,
        tpm.authorized(0x182, [8], tpm.u32(1) + b"\0\x0b" + b"d" * 33): 0x095,
        tpm.authorized(0x182, [8], tpm.u32(1) + b"\0\x0b" + b"d" * 31): 0x1DA,
        tpm.authorized(0x182, [8], tpm.u32(5)): 0x1D5,
        tpm.quote(0x8000_0000): 0x910,
        tpm.quote(0x4000_0007): 0x2D2,
        tpm.command(0x145, b"\0\0", tag=0x00C4): 0x01E,
    }
    assert {sent: tpm.code_of(made.execute(sent, 0)) for sent in wrong} == wrong


def test_a_command_of_more_than_4096_bytes_is_refused() -> None:
    assert [tpm.code_of(model().execute(tpm.command(0x17C, bytes(size)), 0)) for size in (4086, 4087)] == [0x095, 0x142]


anything: Any = st.one_of(
    st.binary(max_size=64),
    st.builds(
        lambda tag, code, body: tpm.command(code, body, tag=tag),
        st.sampled_from([0x8001, 0x8002]),
        st.sampled_from(
            [0x131, 0x13C, 0x13D, 0x143, 0x144, 0x145, 0x158, 0x165, 0x173, 0x17A, 0x17B, 0x17C, 0x17E, 0x182]
        ),
        st.binary(max_size=80),
    ),
)


@given(sent=anything, locality=st.integers(0, 4), failed=st.booleans())
def test_any_bytes_get_a_whole_response(sent: bytes, locality: int, failed: bool) -> None:
    made = model(tpm.create_primary())
    if failed:
        made.fail()
    response = made.execute(sent, locality)
    assert int.from_bytes(response[2:6], "big") == len(response) >= 10
    if tpm.code_of(response):
        assert (response[:2], len(response)) == (b"\x80\x01", 10)


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
        assert made.execute(sent, 0) == bytes.fromhex("8001 0000000a 00000101")
    result = made.execute(tpm.command(0x17C), 0)
    assert (tpm.code_of(result), result[-4:]) == (0, tpm.u32(0x101))
    assert made.execute(tpm.get_capability(6, 0, 9), 0)[10:] == bytes.fromhex("01 00000006 00000001 00000105") + b"SIM "
    for first, count in ((0, 0), (0x10D, 1)):
        assert made.execute(tpm.get_capability(6, first, count), 0)[11:19] == bytes.fromhex("00000006 00000000")
    for cut in (tpm.command(0x17A, tpm.u32(6) + bytes(4)), tpm.command(0x17A, tpm.u32(5) + tpm.u32(0) + tpm.u32(9))):
        assert tpm.code_of(made.execute(cut, 0)) == 0x101
    assert tpm.code_of(made.execute(tpm.command(0x17C, tpm.u32(6) + bytes(8)), 0)) == 0x101
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0


ENTRY_BYTES = {0: 6, 1: 4, 2: 4, 3: 4, 4: 4, 6: 8, 7: 8, 8: 2, 9: 38}
"""Of the groups that can be read in pieces; PCRs (5) come all at once."""
EMPTY = {3, 4, 9}


@pytest.mark.parametrize("group", sorted(ENTRY_BYTES))
def test_capabilities_read_piece_by_piece_are_those_read_at_once(group: int) -> None:
    made = model(tpm.create_primary())
    first = {1: 0x4000_0000, 9: 0x4000_0000}.get(group, 0)
    whole = made.execute(tpm.get_capability(group, first), 0)
    count = int.from_bytes(whole[15:19], "big")
    assert (whole[10], whole[11:15]) == (0, tpm.u32(group))
    assert (count == 0) == (group in EMPTY)
    assert len(whole) == 19 + count * ENTRY_BYTES[group]
    for asked in range(count + 2):
        piece = made.execute(tpm.get_capability(group, first, asked), 0)
        given = min(asked, count)
        assert (piece[10], piece[15:19]) == (asked < count, tpm.u32(given))
        assert piece[19:] == whole[19 : 19 + given * ENTRY_BYTES[group]]


def test_pcr_banks_come_all_at_once_or_not_at_all() -> None:
    made = model()
    banks = bytes.fromhex("0004 03 000000 000b 03 ffffff 000c 03 000000 000d 03 000000")
    for asked in (1, 2, 127):
        assert made.execute(tpm.get_capability(5, 0, asked), 0)[10:] == bytes.fromhex("00 00000005 00000004") + banks
    assert made.execute(tpm.get_capability(5, 0, 0), 0)[10:] == bytes.fromhex("01 00000005 00000000")
    assert tpm.code_of(made.execute(tpm.get_capability(5, 1), 0)) == 0x2C4


def test_a_request_names_the_first_property_that_is_wanted() -> None:
    made = model()
    assert made.execute(tpm.get_capability(8, 3), 0)[10:] == bytes.fromhex("00 00000008 00000001 0003")
    assert made.execute(tpm.get_capability(8, 4), 0)[10:] == bytes.fromhex("00 00000008 00000000")
    assert made.execute(tpm.get_capability(2, 0x17E, 1), 0)[19:] == bytes.fromhex("0000017e")
    assert made.execute(tpm.get_capability(2, 0x17F, 1), 0)[19:] == bytes.fromhex("02400182")


def test_loaded_keys_are_listed() -> None:
    made = model(tpm.create_primary(), tpm.create_primary(), tpm.flush())
    assert made.execute(tpm.get_capability(1, 0x8000_0000), 0)[15:] == bytes.fromhex("00000001 80000001")


TRANSCRIPT = [
    tpm.startup(),
    FULL_TEST,
    *[tpm.get_capability(group) for group in range(10)],
    tpm.command(0x17B, b"\0\x40"),
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
    ask = tpm.command(0x17B, b"\0\x20")
    first = model()
    found = [first.execute(ask, 0), first.execute(ask, 0), model(reset_count=1).execute(ask, 0)]
    first.power_on()
    first.execute(tpm.startup(), 0)
    found.append(first.execute(ask, 0))
    assert len(set(found)) == 4
    assert model().execute(ask, 0) == found[0]
