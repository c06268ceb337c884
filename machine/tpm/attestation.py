"""TPM2_Quote (TPM 2.0 Library, Part 3): signed PCRs, clock and counters.

An ML-DSA key has no scheme hash: the PCR digest uses the key's name algorithm, and the signature is over the whole
TPMS_ATTEST.
"""

from machine.tpm import pcrs
from machine.tpm.buffers import TpmError, Unmarshaller, in_parameter, sized
from machine.tpm.constants import (
    FIRMWARE_VERSION,
    GENERATED_VALUE,
    PERSISTENT,
    TRANSIENT,
    Alg,
    Handle,
    Rc,
    Tag,
)
from machine.tpm.keys import Key
from machine.tpm.public_area import Scheme, scheme_details
from machine.tpm.tpm_state import TpmState

_SCHEMES = (0x05, Alg.RSASSA, Alg.RSAPSS, Alg.ECDSA, Alg.ECDAA, Alg.SM2, Alg.ECSCHNORR, Alg.NULL)


def signature_scheme(source: Unmarshaller) -> Scheme:
    """Unmarshal a TPMT_SIG_SCHEME+."""
    algorithm = source.choice(_SCHEMES, Rc.SCHEME)
    hash_alg, _ = scheme_details(source, algorithm)
    return Scheme(algorithm, hash_alg)


def signing_handle(source: Unmarshaller) -> int:
    """Unmarshal a TPMI_DH_OBJECT+."""
    handle = source.u32()
    if handle not in TRANSIENT and handle not in PERSISTENT and handle != Handle.NULL:
        raise TpmError(Rc.VALUE)
    return handle


def quote(state: TpmState, handle: int, qualifying_data: bytes, wanted: Scheme, selection: pcrs.Selections) -> bytes:
    """Execute TPM2_Quote."""
    if handle == Handle.NULL:  # no key, no hash
        raise TpmError(in_parameter(2, Rc.SCHEME))
    key = state.key(handle)
    scheme = key.public.scheme
    if wanted.algorithm != Alg.NULL and wanted != scheme:
        raise TpmError(in_parameter(2, Rc.SCHEME))
    hash_alg = key.public.name_alg if scheme.algorithm == Alg.MLDSA else scheme.hash_alg
    attest = _attest(state, key, qualifying_data, selection, hash_alg)
    signature = key.sign(attest, scheme)
    state.shutdown_type = None  # the clock value has left the TPM
    return sized(attest) + signature


def _attest(state: TpmState, key: Key, extra: bytes, selection: pcrs.Selections, hash_alg: int) -> bytes:
    """Return the TPMS_ATTEST."""
    return (
        GENERATED_VALUE.to_bytes(4, "big")
        + Tag.ATTEST_QUOTE.to_bytes(2, "big")
        + sized(key.qualified_name)
        + sized(extra)
        + state.clock_ms.to_bytes(8, "big")
        + state.reset_count.to_bytes(4, "big")
        + state.restart_count.to_bytes(4, "big")
        + bytes([state.safe])
        + FIRMWARE_VERSION.to_bytes(8, "big")
        + pcrs.marshal(pcrs.allocated(selection))
        + sized(state.pcrs.digest(hash_alg, selection))
    )
