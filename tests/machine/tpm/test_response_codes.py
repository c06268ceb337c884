"""Response codes for invalid commands (TPM 2.0 Library, Part 2, 6.6; Part 3 for each command).

A format-one code gives the place: 0x040 and the number of the parameter, the number of the handle, or 0x800 and the
number of the session, each in bits 8 to 11.
"""

import pytest

from machine.tpm.constants import Alg, Code, Handle, Tag
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import FULL_TEST, model

PASSWORD = tpm.password()
KEY, NO_KEY, PERSISTENT, HMAC_SESSION = 0x8000_0000, 0x8000_0001, 0x8100_0000, 0x0200_0000
OWNER, PLATFORM = Handle.OWNER, Handle.PLATFORM
EXTEND, EVENT, RESET, CREATE, FLUSH = (
    Code.PCR_EXTEND,
    Code.PCR_EVENT,
    Code.PCR_RESET,
    Code.CREATE_PRIMARY,
    Code.FLUSH_CONTEXT,
)
ONE_DIGEST = tpm.digest_values((Alg.SHA256, b"d" * 32))
SENSITIVE, PUBLIC = tpm.sized(bytes(4)), tpm.sized(tpm.ECC_AK)


def created(sensitive: bytes = SENSITIVE, public: bytes = PUBLIC, outside: bytes = b"\0\0") -> bytes:
    return tpm.authorized(CREATE, [tpm.ENDORSEMENT], sensitive + public + outside + bytes(4))


def extended(area: bytes = PASSWORD, pcr: int = 8) -> bytes:
    return tpm.authorized(EXTEND, [pcr], ONE_DIGEST, area=area)


ECC = bytes.fromhex
WRONG: dict[str, tuple[bytes, int]] = {
    # The header
    "a tag that is none": (tpm.with_tag(tpm.pcr_read(), 0x8003), 0x084),
    "a tag of something else": (tpm.with_tag(tpm.pcr_read(), 0x8017), 0x01E),
    "a size too large": (tpm.with_size(tpm.self_test(), 12), 0x142),
    "a size too small": (tpm.with_size(tpm.self_test(), 10), 0x142),
    "a code that is none": (tpm.command(0x1FF), 0x143),
    "something behind the parameters": (tpm.command(Code.SELF_TEST, b"\1\0"), 0x095),
    "half a parameter": (tpm.command(Code.GET_RANDOM, b"\0"), 0x1DA),
    # Authorizations
    "no authorization": (tpm.command(EXTEND, tpm.u32(8) + ONE_DIGEST), 0x125),
    "an empty area": (extended(b""), 0x095),
    "an area too short for any session": (extended(PASSWORD[:8]), 0x095),
    "an area longer than the command": (
        tpm.with_tag(tpm.command(EXTEND, tpm.u32(8) + tpm.u32(200) + PASSWORD), Tag.SESSIONS),
        0x095,
    ),
    "an area for a command without sessions": (tpm.authorized(FLUSH, [], tpm.u32(KEY)), 0x145),
    "a password more than handles": (extended(PASSWORD * 2), 0xA8B),
    "four passwords": (extended(PASSWORD * 4), 0xC95),
    "a handle that is no session": (extended(tpm.password(handle=KEY)), 0x984),
    "a session that is not there": (extended(tpm.password(handle=HMAC_SESSION)), 0x918),
    "a second session that is not there": (extended(PASSWORD + tpm.password(handle=0x0300_003F)), 0x919),
    "a handle behind the sessions": (extended(tpm.password(handle=0x0300_0040)), 0x984),
    "reserved attributes": (extended(tpm.password(attributes=0x08)), 0x9A1),
    "attributes of other sessions": (extended(tpm.password(attributes=0x80)), 0x982),
    "a nonce": (extended(tpm.password(nonce=b"n")), 0x98F),
    "half a session": (extended(PASSWORD + PASSWORD[:5]), 0xA9A),
    "a password where there is none": (extended(tpm.password(b"x")), 0x9A2),
    "a password where there is none, of zeros": (extended(tpm.password(bytes(3))), 0),
    # Handles
    "a PCR too many": (extended(pcr=24), 0x184),
    "a PCR too many, to be reset": (tpm.authorized(RESET, [24]), 0x184),
    "no PCR, to be reset": (tpm.authorized(RESET, [tpm.NULL]), 0x184),
    "no PCR, to be extended": (extended(pcr=tpm.NULL), 0),
    "a key that is not there": (tpm.read_public(NO_KEY), 0x910),
    "a persistent key": (tpm.read_public(PERSISTENT), 0x18B),
    "a hierarchy for a key": (tpm.read_public(OWNER), 0x184),
    "a key that is not there, to sign": (tpm.quote(NO_KEY), 0x910),
    "no key, to sign": (tpm.quote(tpm.NULL), 0x2D2),
    "a key for a hierarchy": (tpm.authorized(CREATE, [KEY], SENSITIVE + PUBLIC + b"\0\0" + bytes(4)), 0x184),
    "the owner, who is off": (tpm.create_primary(hierarchy=OWNER), 0x185),
    "the platform, which is off": (tpm.create_primary(hierarchy=PLATFORM), 0x185),
    "a context that is not there": (tpm.flush(NO_KEY), 0x1CB),
    "a session, to be flushed": (tpm.flush(HMAC_SESSION), 0x1CB),
    "a PCR, to be flushed": (tpm.flush(8), 0x1C4),
    # Parameters
    "a start-up type": (tpm.shutdown(b"\0\2"), 0x1C4),
    "neither yes nor no": (tpm.self_test(2), 0x1C4),
    "a capability that is none": (tpm.get_capability(12), 0x1C4),
    "the vendor's property": (tpm.get_capability(0x100), 0x1C4),
    "policies of permanent handles": (tpm.get_capability(9, 0x4000_0000), 0),
    "a bank by number": (tpm.get_capability(5, 1), 0x2C4),
    "a policy of a PCR": (tpm.get_capability(9, 0), 0x2C4),
    "handles of a kind that is none": (tpm.get_capability(1, 0x0500_0000), 0x2CB),
    "a timer": (tpm.get_capability(10), 0x2C4),
    "an algorithm that is no hash": (tpm.authorized(EXTEND, [8], tpm.u32(1) + b"\0\x06" + b"d" * 32), 0x1C3),
    "an event too long": (tpm.authorized(EVENT, [8], tpm.sized(bytes(1025))), 0x1D5),
    "no sensitive area": (created(b"\0\0"), 0x1D5),
    "a sensitive area with something behind it": (created(tpm.sized(bytes(5))), 0x1D5),
    "an authorization too long": (created(tpm.sized(tpm.sized(bytes(65)) + b"\0\0")), 0x1D5),
    "no public area": (created(public=b"\0\0"), 0x2D5),
    "a public area with something behind it": (created(public=tpm.sized(tpm.ECC_AK + b"\0")), 0x2D5),
    "a kind of key": (created(public=tpm.sized(tpm.template(kind=0x0001))), 0x2CA),
    "a reserved attribute of a key": (created(public=tpm.sized(tpm.template(attributes=0x8050472))), 0x2E1),
    "a symmetric algorithm": (
        created(public=tpm.sized(tpm.template(parameters=ECC("0007 0018 000b 0003 0010")))), 0x2D6,
    ),
    "a key size of AES": (
        created(public=tpm.sized(tpm.template(parameters=ECC("0006 0081 0043 0018 000b 0003 0010")))), 0x2C4,
    ),
    "a mode of AES": (
        created(public=tpm.sized(tpm.template(parameters=ECC("0006 0080 0007 0018 000b 0003 0010")))), 0x2C9,
    ),
    "a scheme": (created(public=tpm.sized(tpm.template(parameters=ECC("0010 0007 000b 0003 0010")))), 0x2D2),
    "a curve": (created(public=tpm.sized(tpm.template(parameters=ECC("0010 0018 000b 0007 0010")))), 0x2E6),
    "a key derivation": (created(public=tpm.sized(tpm.template(parameters=ECC("0010 0018 000b 0003 0018")))), 0x2CC),
    "outside data too long": (created(outside=tpm.sized(bytes(67))), 0x3D5),
    "qualifying data too long": (tpm.quote(nonce=bytes(67)), 0x1D5),
    "a signature scheme": (tpm.quote(scheme=ECC("0007")), 0x2D2),
    "another scheme than the key's": (tpm.quote(scheme=ECC("0018 000c")), 0x2D2),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_and_where(name: str) -> None:
    sent, code = WRONG[name]
    made = model(tpm.create_primary())
    response = made.execute(sent, 0)
    assert f"{tpm.code_of(response):#05x}" == f"{code:#05x}"
    if code:
        assert len(response) == 10
    assert tpm.code_of(made.execute(tpm.quote(), 0)) == 0, "the key is as before"


@pytest.mark.parametrize("mode", range(0x3E, 0x46))
def test_modes_of_a_block_cipher_are_ctr_to_ecb(mode: int) -> None:
    """Part 2, 11.1.7. A signing key has no block cipher, which is said only of a mode that there is."""
    parameters = ECC("0006 0080") + mode.to_bytes(2, "big") + ECC("0018 000b 0003 0010")
    response = model().execute(created(public=tpm.sized(tpm.template(parameters=parameters))), 0)
    assert tpm.code_of(response) == (0x2D6 if 0x3F <= mode <= 0x44 else 0x2C9)


@pytest.mark.parametrize("locality", range(5))
def test_start_up_is_for_localities_0_and_3(locality: int) -> None:
    made = model()
    made.execute(tpm.shutdown(tpm.STATE), 0)
    made.power_on()
    allowed = locality in (0, 3)
    assert tpm.code_of(made.execute(tpm.startup(), locality)) == (0 if allowed else 0x907)
    assert tpm.code_of(made.execute(FULL_TEST, 0)) == (0 if allowed else 0x100)


@pytest.mark.parametrize("locality", [0, 3])
def test_a_resume_is_for_the_locality_that_started_up(locality: int) -> None:
    made = model()
    made.execute(tpm.shutdown(tpm.STATE), 0)
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(tpm.STATE), locality)) == (0 if locality == 0 else 0x907)


def test_the_result_of_a_test_is_that_all_works() -> None:
    assert tpm.body_of(model().execute(tpm.command(Code.GET_TEST_RESULT), 0)) == bytes(6)
