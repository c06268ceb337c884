"""Models that were started, and parts of their responses."""

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
