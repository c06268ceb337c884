"""Keys and quotes of the model, by the TPM 2.0 Library."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation.formats.public_area import parse_public
from enclave_sim.attestation.formats.quote import ClockInfo, encode_selections, parse_quote
from enclave_sim.attestation.formats.signature import check_signature, parse_signature
from machine.tpm import messages
from machine.tpm.constants import Alg
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import SEED, model, pcr, public_of, public_read, quoted
from tests.machine.tpm.models import created as key_of


def test_a_key_is_a_function_of_seed_and_template() -> None:
    made = [public_of(model().execute(tpm.create_primary(), 0)) for _ in range(2)]
    assert made[0] == made[1]
    others = [
        public_of(model(seed=b"another" + SEED).execute(tpm.create_primary(), 0)),
        public_of(model().execute(tpm.create_primary(tpm.template(attributes=0x40472)), 0)),
        public_of(model().execute(tpm.create_primary(data=b"more"), 0)),
    ]
    assert len({parse_public(tpm.sized(public)).key for public in (made[0], *others)}) == 4


def test_the_name_is_the_digest_of_the_public_area() -> None:
    made = model()
    created = made.execute(tpm.create_primary(), 0)
    public, name, qualified = public_read(made.execute(tpm.read_public(), 0))
    assert public == public_of(created)
    assert name == b"\x00\x0b" + hashlib.sha256(public).digest()
    assert qualified == b"\x00\x0b" + hashlib.sha256(tpm.u32(tpm.ENDORSEMENT) + name).digest()
    assert created.endswith(tpm.sized(name) + tpm.PASSWORD_AREA)


def test_there_are_three_slots() -> None:
    made = model(*[tpm.create_primary()] * 3)
    assert tpm.code_of(made.execute(tpm.create_primary(), 0)) == 0x902
    assert tpm.code_of(made.execute(tpm.flush(0x8000_0001), 0)) == 0
    assert key_of(made.execute(tpm.create_primary(), 0)).handle == 0x8000_0001


@pytest.mark.parametrize("template", [tpm.ECC_AK, tpm.MLDSA_AK], ids=["ecdsa-p256", "ml-dsa-65"])
@given(nonce=st.binary(max_size=66), mask=st.integers(0, 0xFFFFFF), digest=st.binary(min_size=32, max_size=32))
def test_a_quote_is_signed_and_says_what_the_tpm_is(template: bytes, nonce: bytes, mask: int, digest: bytes) -> None:
    made = model(tpm.extend(8, digest), reset_count=3)
    created = made.execute(tpm.create_primary(template), 0)
    public = public_of(created)
    selection = tpm.selection((0x000B, mask))
    attest, signature = quoted(made.execute(tpm.quote(nonce=nonce, pcrs=selection), 0))
    check_signature(parse_public(tpm.sized(public)), parse_signature(signature), attest)
    name = b"\x00\x0b" + hashlib.sha256(public).digest()
    qualified = b"\x00\x0b" + hashlib.sha256(tpm.u32(tpm.ENDORSEMENT) + name).digest()
    values = b"".join(pcr(made, n) for n in range(24) if mask >> n & 1)
    found = parse_quote(attest)
    assert (found.qualified_signer, found.extra_data) == (qualified, nonce)
    assert found.clock_info == ClockInfo(found.clock_info.clock, reset_count=4, restart_count=0, safe=True)
    assert encode_selections(found.selections) == selection
    assert found.pcr_digest == hashlib.sha256(values).digest()


def test_the_template_of_an_ml_dsa_key_is_that_of_revision_185() -> None:
    public = public_of(model().execute(tpm.create_primary(tpm.MLDSA_AK), 0))
    key = parse_public(tpm.sized(public)).key
    assert isinstance(key, bytes)
    assert public == tpm.template(kind=Alg.MLDSA, parameters=tpm.MLDSA_PARAMETERS, unique=tpm.sized(key))
    assert public.startswith(bytes.fromhex("00a1 000b 00050472 0000 0002 00 07a0"))
    for parameters in (
        messages.mldsa_parameters(1),
        messages.mldsa_parameters(3),
        messages.mldsa_parameters(allow_external_mu=1),
    ):
        refused = tpm.template(kind=Alg.MLDSA, parameters=parameters, unique=messages.EMPTY)
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
        (tpm.template(parameters=messages.ecc_parameters(curve=0x0004)), 0x2E6),
        (tpm.template(parameters=messages.ecc_parameters(scheme=Alg.ECDAA, details=(Alg.SHA256, 0))), 0x2D2),
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
