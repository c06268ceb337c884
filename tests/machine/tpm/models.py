"""Models that were started, and parts of their responses by name."""

from typing import NamedTuple

from machine.tpm import messages
from machine.tpm.buffers import Unmarshaller
from machine.tpm.constants import Alg
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm

SEED = b"a seed for tests, 32 bytes long.."
FULL_TEST = tpm.self_test()


def model(*commands: bytes, seed: bytes = SEED, reset_count: int = 0) -> TpmModel:
    """A model that was started and has run these commands without an error."""
    made = TpmModel(seed, reset_count)
    made.power_on()
    for sent in (tpm.startup(), *commands):
        assert tpm.code_of(made.execute(sent, 0)) == 0
    return made


def body(response: bytes) -> Unmarshaller:
    """The bytes after the header of a successful response."""
    assert tpm.code_of(response) == 0
    assert tpm.size_of(response) == len(response)
    return Unmarshaller(tpm.body_of(response))


class PcrsRead(NamedTuple):
    """The response to TPM2_PCR_Read, without its counter."""

    selection: bytes
    """TPML_PCR_SELECTION."""
    values: list[bytes]


def pcrs_of(response: bytes) -> PcrsRead:
    source = body(response)
    source.u32()  # the update counter
    banks = [tpm.bank(source.u16(), source.take(source.u8())) for _ in range(source.u32())]
    values = [source.sized() for _ in range(source.u32())]
    assert not source.left
    return PcrsRead(tpm.u32(len(banks)) + b"".join(banks), values)


def pcr(of: TpmModel, number: int) -> bytes:
    (value,) = pcrs_of(of.execute(tpm.pcr_read(tpm.selection((Alg.SHA256, 1 << number))), 0)).values
    return value


class Capability(NamedTuple):
    """The response to TPM2_GetCapability."""

    more: int
    group: int
    entry_count: int
    entries: bytes


def capability_of(response: bytes) -> Capability:
    source = body(response)
    return Capability(source.u8(), source.u32(), source.u32(), source.take(source.left))


class PublicRead(NamedTuple):
    """The response to TPM2_ReadPublic."""

    public: bytes
    name: bytes
    qualified_name: bytes


def public_read(response: bytes) -> PublicRead:
    source = body(response)
    read = PublicRead(source.sized(4096), source.sized(), source.sized())
    assert not source.left
    return read


def quoted(response: bytes) -> messages.Quoted:
    """A quote made with a password."""
    source = body(response)
    source.take(source.u32())
    assert source.take(source.left) == tpm.PASSWORD_AREA
    return messages.quoted(response)


def created(response: bytes) -> messages.Created:
    """A key just made."""
    assert tpm.code_of(response) == 0
    return messages.created(response)


def public_of(response: bytes) -> bytes:
    """TPMT_PUBLIC of a key just made."""
    return created(response).public
