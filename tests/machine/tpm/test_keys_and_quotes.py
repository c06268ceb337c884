"""Keys and quotes of the model, by the TPM 2.0 Library."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, utils
from hypothesis import given
from hypothesis import strategies as st

from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import SEED, model, pcr, public_of, quoted, split


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
