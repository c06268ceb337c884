"""The model of a TPM, by the TPM 2.0 Library."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.errors import MachineError
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm

SEED = b"a seed for tests, 32 bytes long.."
FULL_TEST = tpm.command(0x143, b"\1")


def model(*commands: bytes, seed: bytes = SEED, reset_count: int = 0) -> TpmModel:
    """A model that was started and has run these commands without an error."""
    made = TpmModel(seed, reset_count)
    made.power_on()
    for sent in (tpm.startup(), *commands):
        assert tpm.code_of(made.execute(sent, 0)) == 0
    return made


def pcr(of: TpmModel, number: int) -> bytes:
    response = of.execute(tpm.pcr_read(tpm.selection((0x000B, 1 << number))), 0)
    return response[-32:]


def split(data: bytes) -> tuple[bytes, bytes]:
    """A TPM2B and what follows."""
    size = int.from_bytes(data[:2], "big")
    return data[2 : 2 + size], data[2 + size :]


def quoted(response: bytes) -> tuple[bytes, bytes]:
    """TPMS_ATTEST and TPMT_SIGNATURE of a quote made with a password."""
    assert tpm.code_of(response) == 0
    attest, rest = split(response[14:])
    return attest, rest[:-5]


def public_of(response: bytes) -> bytes:
    """TPMT_PUBLIC of a key just made."""
    return split(response[18:])[0]


# Start-up


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


def counts(made: TpmModel) -> tuple[int, int, int]:
    """Reset count, restart count and safe, from a quote."""
    handle = int.from_bytes(made.execute(tpm.create_primary(), 0)[10:14], "big")
    attest, _ = quoted(made.execute(tpm.quote(handle, b""), 0))
    at = 6 + 2 + 34 + 2 + 8
    return int.from_bytes(attest[at : at + 4], "big"), int.from_bytes(attest[at + 4 : at + 8], "big"), attest[at + 8]


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
        attest, _ = quoted(made.execute(tpm.quote(nonce=b""), 0))
        clocks.append(int.from_bytes(attest[44:52], "big"))
        made.power_on()
        made.execute(tpm.startup(), 0)
    assert clocks == [(1 << 20) + 2, (2 << 20) + 2, (3 << 20) + 2]


@pytest.mark.parametrize(("seed", "resets"), [(b"", 0), (b"s" * 15, 0), (SEED, -1), (SEED, 0xFFFF_FFFF)])
def test_a_model_that_cannot_be_is_refused(seed: bytes, resets: int) -> None:
    with pytest.raises(MachineError):
        TpmModel(seed, resets)


# PCRs


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
    response = made.execute(tpm.authorized(0x13C, [9], tpm.sized(data)), 0)
    assert b"\x00\x0b" + hashlib.sha256(data).digest() in response
    assert pcr(made, 9) == pcr(model(tpm.extend(9, hashlib.sha256(data).digest())), 9)


def test_a_bank_that_is_not_there_ignores_extends_and_is_not_read() -> None:
    made = model(tpm.extend(8, b"1" * 20, 0x0004))
    assert made.execute(tpm.pcr_read(tpm.selection((0x0004, 0x100))), 0)[14:] == bytes.fromhex(
        "00000001 0004 03 000000 00000000"
    )
    assert pcr(made, 8) == bytes(32)
    assert tpm.code_of(made.execute(tpm.extend(8, b"1" * 32, 0x0012), 0)) == 0x1C3


@pytest.mark.parametrize("number", range(24))
def test_only_pcrs_16_and_23_can_be_reset(number: int) -> None:
    made = model(tpm.extend(number)) if number in (*range(17), 23) else model()
    before = pcr(made, number)
    code = tpm.code_of(made.execute(tpm.authorized(0x13D, [number]), 0))
    assert (code, pcr(made, number)) == ((0, bytes(32)) if number in (16, 23) else (0x907, before))


# Keys and quotes


def test_a_key_is_a_function_of_seed_and_template() -> None:
    made = [public_of(model().execute(tpm.create_primary(), 0)) for _ in range(2)]
    assert made[0] == made[1]
    others = [
        public_of(model(seed=b"another" + SEED).execute(tpm.create_primary(), 0)),
        public_of(model().execute(tpm.create_primary(tpm.template(attributes=0x40472)), 0)),
        public_of(model().execute(tpm.create_primary(data=b"more"), 0)),
    ]
    assert len({made[0][-68:], *[other[-68:] for other in others]}) == 4


def test_the_name_is_the_digest_of_the_public_area() -> None:
    made = model()
    created = made.execute(tpm.create_primary(), 0)
    public, rest = split(made.execute(tpm.read_public(), 0)[10:])
    name, rest = split(rest)
    qualified, rest = split(rest)
    assert public == public_of(created)
    assert name == b"\x00\x0b" + hashlib.sha256(public).digest()
    assert qualified == b"\x00\x0b" + hashlib.sha256(tpm.u32(tpm.ENDORSEMENT) + name).digest()
    assert (rest, created[-2 - 3 - len(name) : -5]) == (b"", name)


def test_there_are_three_slots() -> None:
    made = model(*[tpm.create_primary()] * 3)
    assert tpm.code_of(made.execute(tpm.create_primary(), 0)) == 0x902
    assert tpm.code_of(made.execute(tpm.flush(0x8000_0001), 0)) == 0
    assert made.execute(tpm.create_primary(), 0)[10:14] == tpm.u32(0x8000_0001)


def verify(public: bytes, attest: bytes, signature: bytes) -> None:
    if public[:2] == b"\0\x23":
        x, rest = split(public[-68:])
        y, _ = split(rest)
        key = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
        ).public_key()
        assert signature[:4] == bytes.fromhex("0018 000b")
        r, rest = split(signature[4:])
        s, rest = split(rest)
        assert (len(r), len(s), rest) == (32, 32, b"")
        der = utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        key.verify(der, attest, ec.ECDSA(hashes.SHA256()))
    else:
        assert signature[:2] == b"\0\xa1"
        raw, rest = split(signature[2:])
        assert (len(raw), rest) == (3309, b"")
        mldsa.MLDSA65PublicKey.from_public_bytes(public[-1952:]).verify(raw, attest)


@pytest.mark.parametrize("template", [tpm.ECC_AK, tpm.MLDSA_AK], ids=["ecdsa-p256", "ml-dsa-65"])
@settings(deadline=None)
@given(nonce=st.binary(max_size=66), mask=st.integers(0, 0xFFFFFF), digest=st.binary(min_size=32, max_size=32))
def test_a_quote_is_signed_and_says_what_the_tpm_is(template: bytes, nonce: bytes, mask: int, digest: bytes) -> None:
    made = model(tpm.extend(8, digest), reset_count=3)
    created = made.execute(tpm.create_primary(template), 0)
    public = public_of(created)
    selection = tpm.selection((0x000B, mask))
    attest, signature = quoted(made.execute(tpm.quote(nonce=nonce, pcrs=selection), 0))
    verify(public, attest, signature)
    name = b"\x00\x0b" + hashlib.sha256(public).digest()
    qualified = b"\x00\x0b" + hashlib.sha256(tpm.u32(tpm.ENDORSEMENT) + name).digest()
    head = bytes.fromhex("ff544347 8018") + tpm.sized(qualified) + tpm.sized(nonce)
    values = b"".join(pcr(made, n) for n in range(24) if mask >> n & 1)
    assert attest.startswith(head)
    assert attest[len(head) + 8 : len(head) + 17] == tpm.u32(4) + tpm.u32(0) + b"\1"
    assert attest[len(head) + 25 :] == selection + tpm.sized(hashlib.sha256(values).digest())


def test_the_template_of_an_ml_dsa_key_is_that_of_revision_185() -> None:
    public = public_of(model().execute(tpm.create_primary(tpm.MLDSA_AK), 0))
    assert public[:-1952] == bytes.fromhex("00a1 000b 00050472 0000 0002 00 07a0")
    for parameters in (b"\0\1\0", b"\0\3\0", b"\0\2\1"):
        refused = tpm.template(kind=0x00A1, parameters=parameters, unique=b"\0\0")
        assert tpm.code_of(model().execute(tpm.create_primary(refused), 0)) == 0x2C4


def test_the_responses_about_an_ml_dsa_key_fit_the_crb() -> None:
    made = model()
    assert len(made.execute(tpm.create_primary(tpm.MLDSA_AK), 0)) < 0xF80
    assert len(made.execute(tpm.quote(nonce=b"n" * 66), 0)) < 0xF80


@pytest.mark.parametrize("handle", [0x4000_0001, 0x4000_0007, 0x4000_000C])
def test_only_the_endorsement_hierarchy_has_keys(handle: int) -> None:
    assert tpm.code_of(model().execute(tpm.create_primary(hierarchy=handle), 0)) == 0x185


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (tpm.template(kind=0x0001), 0x2CA),
        (tpm.template(name_alg=0x0010), 0x2C3),
        (tpm.template(attributes=0x50473), 0x2E1),
        (tpm.template(attributes=0x30472), 0x2C2),
        (tpm.template(parameters=bytes.fromhex("0010 0018 000b 0004 0010")), 0x2E6),
        (tpm.template(parameters=bytes.fromhex("0010 001a 000b 0000 0003 0010")), 0x2D2),
    ],
)
def test_a_template_for_another_kind_of_key_is_refused(template: bytes, code: int) -> None:
    assert tpm.code_of(model().execute(tpm.create_primary(template), 0)) == code


def test_a_key_has_its_password() -> None:
    made = model(tpm.create_primary(auth=b"secret\0\0"))
    assert tpm.code_of(made.execute(tpm.quote(), 0)) == 0x9A2
    assert tpm.code_of(made.execute(tpm.quote(area=tpm.password(b"secret")), 0)) == 0


def test_wrong_passwords_of_a_key_without_no_da_lock_it() -> None:
    made = model(tpm.create_primary(tpm.template(attributes=0x50072), auth=b"secret"))
    right, wrong = tpm.quote(area=tpm.password(b"secret")), tpm.quote()
    sent = [wrong, wrong, right, wrong, wrong, right]
    assert [tpm.code_of(made.execute(command, 0)) for command in sent] == [0x922, 0x98E, 0, 0x98E, 0x98E, 0x921]


# Responses to what is no command


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


# Failure mode


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
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0


# Capabilities


@pytest.mark.parametrize("group", range(9))
def test_capabilities_read_piece_by_piece_are_those_read_at_once(group: int) -> None:
    made = model(tpm.create_primary())
    whole = made.execute(tpm.get_capability(group), 0)
    count = int.from_bytes(whole[15:19], "big")
    for asked in range(1, count):
        piece = made.execute(tpm.get_capability(group, 0, asked), 0)
        if group != 5:
            assert (piece[10], int.from_bytes(piece[15:19], "big")) == (1, asked)
            assert whole[19:].startswith(piece[19:])
    assert whole[10] == 0


def test_loaded_keys_are_listed() -> None:
    made = model(tpm.create_primary(), tpm.create_primary(), tpm.flush())
    assert made.execute(tpm.get_capability(1, 0x8000_0000), 0)[15:] == bytes.fromhex("00000001 80000001")


# Repetition


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
