"""Reference values of an enclave: the required contents of its quotes, computed without running it."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from enclave_sim.attestation import NO_TRUST_ANCHORS, EvidenceError, ReferenceValues, key_name
from enclave_sim.attestation.formats.public_area import AK_ATTRIBUTES
from firmware import Firmware, layout
from machine.boot import elf
from machine.tpm import messages
from machine.tpm.backend import TpmBackend, TpmUnavailable
from machine.tpm.buffers import TpmError, sized
from machine.tpm.constants import Alg, Rc
from machine.tpm.model import TpmModel

_NO_ROOM = (Rc.OBJECT_HANDLES, Rc.OBJECT_MEMORY)
_TEMPLATES = (
    messages.template(Alg.ECC, AK_ATTRIBUTES, messages.ecc_parameters(), messages.EMPTY_POINT),
    messages.template(Alg.MLDSA, AK_ATTRIBUTES, messages.mldsa_parameters(), messages.EMPTY),
)
"""TPMT_PUBLIC of the two attestation keys, as requested by firmware/src/tpm_commands.c."""


class Measured(NamedTuple):
    """The values measured by the kernel of one enclave."""

    firmware: Firmware
    loader_information: bytes
    command_line: str
    trust_anchors: bytes | None
    payloads: tuple[bytes, ...]


@lru_cache(maxsize=2)  # a process measures one kernel, rarely two
def kernel_image(kernel: Firmware) -> bytes:
    """Return the measured kernel: everything that the loader copies from the file to RAM, from text to data."""
    base, end = layout()["TEXT_BASE"], kernel.symbols["data_end"]
    image = bytearray(end - base)
    for segment in elf.parse(kernel.image).segments:
        data = segment.data[: max(0, end - segment.physical)]
        image[segment.physical - base : segment.physical - base + len(data)] = data
    return bytes(image)


def reference_values(measured: Measured, key_names: Iterable[bytes]) -> ReferenceValues:
    """Return the values for the measurements and for the Names of the TPM's attestation keys."""
    return ReferenceValues(
        firmware=_digests(kernel_image(measured.firmware)),
        loader_information=_digests(measured.loader_information),
        configurations=_digests(measured.command_line.encode()),
        payloads=_digests(*measured.payloads),
        trust_anchors=frozenset([NO_TRUST_ANCHORS])
        if measured.trust_anchors is None
        else _digests(measured.trust_anchors),
        ak_names=frozenset(name.hex() for name in key_names),
    )


def reference_values_for(measured: Measured, tpm: TpmBackend) -> ReferenceValues:
    """Return the values of an enclave on this TPM. A model's key names come from another model with the same seed."""
    names = model_key_names(tpm.seed) if isinstance(tpm, TpmModel) else attestation_key_names(tpm)
    return reference_values(measured, names)


def _digests(*contents: bytes) -> frozenset[str]:
    return frozenset(sha256(content).hexdigest() for content in contents)


@lru_cache(maxsize=64)  # as many as `keys.derive` caches
def model_key_names(seed: bytes) -> tuple[bytes, ...]:
    """Return the Names of the attestation keys of a TPM model."""
    return tuple(attestation_key_names(TpmModel(seed)))


def attestation_key_names(tpm: TpmBackend) -> list[bytes]:
    """Return the Names of those of the kernel's attestation keys that this TPM can make.

    Returns:
        The Names, in the kernel's order.

    Raises:
        TpmUnavailable: The TPM does not answer, or has no room for a key.
        EvidenceError: An answer has no public area of such a key.
    """
    tpm.execute(messages.startup(), 0)  # fails harmlessly if already done
    names = []
    for template in _TEMPLATES:
        response = tpm.execute(messages.create_primary(template), 0)
        code = messages.Header.of(response).code
        if code in _NO_ROOM:
            raise TpmUnavailable("the TPM has no room for a key, so the names of its keys cannot be obtained")
        if code != Rc.SUCCESS:
            continue
        try:
            made = messages.created(response)
        except TpmError:
            raise EvidenceError("the TPM's answer to TPM2_CreatePrimary is cut short") from None
        names.append(key_name(sized(made.public)))
        tpm.execute(messages.flush_context(made.handle), 0)
    return names
