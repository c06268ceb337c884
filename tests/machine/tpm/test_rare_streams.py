"""Streams rarely made by chance: the model answers like swtpm."""

import pytest

from machine.tpm.constants import Code
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.conftest import Swtpms
from tests.machine.tpm.lockstep import freshly_reset

pytestmark = pytest.mark.tpm

POWER = b"power"
GUARDED = tpm.create_primary(tpm.template(attributes=tpm.AK_ATTRIBUTES & ~0x400), auth=b"secret")
RIGHT, WRONG = tpm.quote(area=tpm.password(b"secret")), tpm.quote()


def misstated(public: bytes, difference: int) -> bytes:
    """CreatePrimary whose TPM2B_PUBLIC claims a size larger than its own."""
    right = tpm.sized(public)
    return tpm.create_primary(public).replace(right, tpm.u16(len(public) + difference) + public)


STREAMS = {
    "a quote takes back a saved state": [
        *(tpm.create_primary(), tpm.shutdown(tpm.STATE), tpm.quote(), POWER),
        *(tpm.startup(tpm.STATE), tpm.startup()),
    ],
    "an extend of a PCR that is not saved does not": [
        *(tpm.shutdown(tpm.STATE), tpm.extend(16), POWER, tpm.startup(tpm.STATE), tpm.pcr_read()),
    ],
    "an extend of a saved PCR does": [tpm.shutdown(tpm.STATE), tpm.extend(15), POWER, tpm.startup(tpm.STATE)],
    "changes of free PCRs are not counted": [
        *(tpm.extend(16), tpm.extend(23), tpm.reset(16), tpm.pcr_read()),
        *(tpm.extend(0), tpm.extend(8), tpm.pcr_read()),
    ],
    "a resume counts the PCRs that it resets": [
        *(tpm.extend(8), tpm.shutdown(tpm.STATE), POWER, tpm.startup(tpm.STATE), tpm.pcr_read()),
    ],
    "a restart goes on counting": [tpm.extend(8), tpm.shutdown(tpm.STATE), POWER, tpm.startup(), tpm.pcr_read()],
    "reserved bits of a session": [
        tpm.authorized(Code.PCR_EXTEND, [8], tpm.digest_values(), area=tpm.password(attributes=bits))
        for bits in (0x08, 0x10, 0x09)
    ],
    "more sessions than there are": [
        tpm.authorized(Code.PCR_EXTEND, [8], tpm.digest_values(), area=tpm.password() * count)
        for count in (1, 2, 3, 4, 5)
    ],
    "wrong passwords lock a key that has dictionary attack protection": [
        *(GUARDED, WRONG, WRONG, RIGHT, WRONG, WRONG, RIGHT, POWER, tpm.startup(), GUARDED, RIGHT),
    ],
    "a reset without shutdown counts as a wrong password": [
        *[tpm.flush(), GUARDED, WRONG, RIGHT, POWER, tpm.startup()] * 4,
        *(GUARDED, RIGHT),
    ],
    "a reset after shutdown does not": [
        *[GUARDED, WRONG, RIGHT, tpm.shutdown(), POWER, tpm.startup()] * 4,
        *(GUARDED, WRONG, RIGHT),
    ],
    "a password is no longer than the name's digest": [
        tpm.create_primary(auth=auth) for auth in (b"a" * 32, b"a" * 33, b"a" * 32 + bytes(20), bytes(33))
    ],
    "encrypted duplication of what stays in the TPM": [
        tpm.create_primary(tpm.template(attributes=tpm.AK_ATTRIBUTES | 0x800)),
        tpm.create_primary(tpm.template(attributes=tpm.AK_ATTRIBUTES & ~0x12 | 0x800)),
    ],
    "a public area of another size than it says": [misstated(tpm.ECC_AK, difference) for difference in (-1, 0, 1)],
    "more keys than slots": [*[tpm.create_primary()] * 4, tpm.flush(0x8000_0001), *[tpm.create_primary()] * 2],
    "more PCRs than a response holds": [
        tpm.pcr_read(tpm.selection((0x000B, 0xFFFFFF))),
        tpm.pcr_read(tpm.selection((0x000B, 0x0000FF), (0x000B, 0xFF))),
        tpm.pcr_read(tpm.selection((0x0004, 0xFF), (0x000B, 0x0F), (0x000B, 0xF1))),
    ],
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_a_rare_stream_is_answered_alike(swtpms: Swtpms, stream: list[bytes]) -> None:
    both = freshly_reset(swtpms.get())
    assert both.run(tpm.startup())
    for sent in stream:
        if sent == POWER:
            both.power_on()
        else:
            assert both.run(sent)
