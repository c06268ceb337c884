"""Integrity collection: the PCR commands (TPM 2.0 Library, Part 3)."""

from machine.tpm import pcrs
from machine.tpm.buffers import TpmError, Unmarshaller, sized
from machine.tpm.constants import DIGEST_SIZES, PCR_COUNT, Handle, Rc
from machine.tpm.hashes import HASHES, digest
from machine.tpm.tpm_state import TpmState

MAX_EVENT_BYTES = 1024


def pcr_handle(source: Unmarshaller) -> int:
    """Unmarshal a TPMI_DH_PCR."""
    handle = source.u32()
    if handle >= PCR_COUNT:
        raise TpmError(Rc.VALUE)
    return handle


def pcr_handle_or_null(source: Unmarshaller) -> int:
    """Unmarshal a TPMI_DH_PCR+."""
    handle = source.u32()
    if handle >= PCR_COUNT and handle != Handle.NULL:
        raise TpmError(Rc.VALUE)
    return handle


def digest_values(source: Unmarshaller) -> list[tuple[int, bytes]]:
    """Unmarshal a TPML_DIGEST_VALUES."""
    count = source.u32()
    if count > len(HASHES):
        raise TpmError(Rc.SIZE)
    found = []
    for _ in range(count):
        algorithm = source.hash_alg()
        found.append((algorithm, source.take(DIGEST_SIZES[algorithm])))
    return found


def event_data(source: Unmarshaller) -> bytes:
    """Unmarshal a TPM2B_EVENT."""
    return source.sized(MAX_EVENT_BYTES)


def pcr_extend(state: TpmState, handle: int, measurements: list[tuple[int, bytes]]) -> bytes:
    """Execute TPM2_PCR_Extend."""
    if handle != Handle.NULL:
        _about_to_change(state, handle, pcrs.ATTRIBUTES[handle].extend)
        for algorithm, measurement in measurements:
            state.pcrs.extend(algorithm, handle, measurement)
    return b""


def pcr_event(state: TpmState, handle: int, data: bytes) -> bytes:
    """Execute TPM2_PCR_Event: extend a PCR with the data's digests in all hash algorithms, and return them."""
    measurements = [(algorithm, digest(algorithm, data)) for algorithm in HASHES]
    pcr_extend(state, handle, measurements)
    parts = [algorithm.to_bytes(2, "big") + measurement for algorithm, measurement in measurements]
    return len(parts).to_bytes(4, "big") + b"".join(parts)


def pcr_reset(state: TpmState, handle: int) -> bytes:
    """Execute TPM2_PCR_Reset."""
    _about_to_change(state, handle, pcrs.ATTRIBUTES[handle].reset & ~pcrs.D_RTM)  # D-RTM resets without a command
    state.pcrs.clear(handle)
    return b""


def pcr_read(state: TpmState, selection: pcrs.Selections) -> bytes:
    """Execute TPM2_PCR_Read."""
    done, values = state.pcrs.read(selection)
    found = len(values).to_bytes(4, "big") + b"".join(map(sized, values))
    return state.pcrs.update_counter.to_bytes(4, "big") + pcrs.marshal(done) + found


def _about_to_change(state: TpmState, handle: int, localities: int) -> None:
    if not localities >> state.locality & 1:
        raise TpmError(Rc.LOCALITY)
    if pcrs.ATTRIBUTES[handle].saved:
        state.shutdown_type = None
