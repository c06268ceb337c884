"""Reference values of an enclave: what its quotes must say, found without running it."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import firmware
from enclave_sim.attestation import NO_TRUST_ANCHORS, ReferenceValues, key_name
from machine.boot import elf
from machine.tpm.backend import TpmBackend, TpmUnavailable
from machine.tpm.model import TpmModel

_STARTUP = bytes.fromhex("8001 0000000C 00000144 0000".replace(" ", ""))
_AK_ATTRIBUTES = "00050472"
_NO_ROOM = (0x901, 0x902)
_TEMPLATES = (
    f"0023 000B {_AK_ATTRIBUTES} 0000 0010 0018 000B 0003 0010 0000 0000",
    f"00A1 000B {_AK_ATTRIBUTES} 0000 0002 00 0000",
)
"""TPMT_PUBLIC of the two attestation keys, as firmware/src/tpm_commands.c asks for them."""


class Measured(NamedTuple):
    """What the kernel of one enclave measures."""

    loader_information: bytes
    command_line: str
    trust_anchors: bytes | None
    payloads: tuple[bytes, ...]


def kernel_image() -> bytes:
    """The kernel as it is measured: all that the loader puts into RAM from the file, text to data."""
    return _loaded(firmware.image(), firmware.layout()["TEXT_BASE"], firmware.symbols()["data_end"])


@lru_cache(maxsize=1)  # a process measures one kernel
def _loaded(file: bytes, base: int, end: int) -> bytes:
    image = bytearray(end - base)
    for segment in elf.parse(file).segments:
        data = segment.data[: max(0, end - segment.physical)]
        image[segment.physical - base : segment.physical - base + len(data)] = data
    return bytes(image)


def reference_values(measured: Measured, key_names: Iterable[bytes]) -> ReferenceValues:
    """The values; with the Names of the attestation keys of the TPM."""
    return ReferenceValues(
        firmware=_digests(kernel_image()),
        loader_information=_digests(measured.loader_information),
        configurations=_digests(measured.command_line.encode()),
        payloads=_digests(*measured.payloads),
        trust_anchors=frozenset([NO_TRUST_ANCHORS])
        if measured.trust_anchors is None
        else _digests(measured.trust_anchors),
        ak_names=frozenset(name.hex() for name in key_names),
    )


def _digests(*contents: bytes) -> frozenset[str]:
    return frozenset(sha256(content).hexdigest() for content in contents)


@lru_cache(maxsize=64)  # as many as `keys.derive` keeps
def model_key_names(seed: bytes) -> tuple[bytes, ...]:
    """The Names of the attestation keys of a TPM model."""
    return tuple(attestation_key_names(TpmModel(seed)))


def attestation_key_names(tpm: TpmBackend) -> list[bytes]:
    """The Names of the attestation keys that the kernel will make, of those that the TPM can make.

    Raises TpmUnavailable for a TPM that gives no answer, or has no room for a key.
    """
    tpm.execute(_STARTUP, 0)  # which may have been done already
    names = []
    for template in _TEMPLATES:
        response = tpm.execute(_create_primary(bytes.fromhex(template.replace(" ", ""))), 0)
        code = int.from_bytes(response[6:10], "big")
        if code in _NO_ROOM:
            raise TpmUnavailable("the TPM has no room for a key, so the names of its keys cannot be had")
        if code:
            continue
        handle, public = response[10:14], response[18:]
        names.append(key_name(public[: 2 + int.from_bytes(public[:2], "big")]))
        tpm.execute(bytes.fromhex("80010000000E00000165") + handle, 0)
    return names


def _create_primary(template: bytes) -> bytes:
    """TPM2_CreatePrimary in the endorsement hierarchy (TPM 2.0 Library, part 3, 24.1)."""
    password = bytes.fromhex("00000009 40000009 0000 00 0000".replace(" ", ""))
    parameters = bytes.fromhex("000400000000") + len(template).to_bytes(2, "big") + template + bytes(6)
    body = bytes.fromhex("000001314000000B") + password + parameters
    return bytes.fromhex("8002") + (6 + len(body)).to_bytes(4, "big") + body
