"""Start-up, testing and random number commands (TPM 2.0 Library, Part 3)."""

from machine.tpm.buffers import TpmError, Unmarshaller, in_parameter, sized
from machine.tpm.constants import MAX_DIGEST, SU_CLEAR, SU_STATE, Rc
from machine.tpm.tpm_state import TpmState

_H_CRTM_LOCALITY = 3


def startup_type(source: Unmarshaller) -> int:
    """Unmarshal a TPM_SU."""
    return source.choice((SU_CLEAR, SU_STATE), Rc.VALUE)


def yes_no(source: Unmarshaller) -> bool:
    """Unmarshal a TPMI_YES_NO."""
    value = source.u8()
    if value > 1:
        raise TpmError(Rc.VALUE)
    return value == 1


def startup(state: TpmState, kind: int) -> bytes:
    """Execute TPM2_Startup: TPM Reset, or after TPM2_Shutdown(STATE) TPM Restart (CLEAR) or TPM Resume (STATE)."""
    if state.locality not in (0, _H_CRTM_LOCALITY):
        raise TpmError(Rc.LOCALITY)
    saved = state.shutdown_type == SU_STATE
    if kind == SU_STATE and not saved:
        raise TpmError(in_parameter(1, Rc.VALUE))
    if kind == SU_STATE and state.locality != state.startup_locality:
        raise TpmError(Rc.LOCALITY)
    state.startup_locality = state.locality
    orderly = state.shutdown_type is not None
    state.safe = state.safe and orderly
    state.pcrs.start(state.locality, reset=not saved, resume=kind == SU_STATE)
    if saved:
        state.restart_count += 1
    else:
        state.reset_count, state.restart_count, state.commands = state.reset_count + 1, 0, 0
    if not orderly:
        state.count_lost_try()
    state.shutdown_type, state.started = None, True
    return b""


def shutdown(state: TpmState, kind: int) -> bytes:
    """Execute TPM2_Shutdown."""
    state.shutdown_type, state.lockout_used = kind, False
    if kind == SU_STATE:
        state.pcrs.save()
    return b""


def self_test(state: TpmState, full: bool) -> bytes:  # noqa: ARG001 - a model has nothing to test
    """Execute TPM2_SelfTest."""
    return b""


def get_test_result(state: TpmState) -> bytes:
    """Execute TPM2_GetTestResult: return no data, and whether the TPM works."""
    return sized(b"") + (Rc.FAILURE if state.failed else Rc.SUCCESS).to_bytes(4, "big")


def get_random(state: TpmState, size: int) -> bytes:
    """Execute TPM2_GetRandom: return at most the size of the largest digest."""
    return sized(state.random(min(size, MAX_DIGEST)))
