"""Key commands: CreatePrimary, ReadPublic, FlushContext (TPM 2.0 Library, Part 3)."""

import msgspec

from machine.tpm import pcrs
from machine.tpm.buffers import TpmError, Unmarshaller, in_handle, in_parameter, sized
from machine.tpm.constants import DIGEST_SIZES, MAX_DIGEST, PERSISTENT, SESSIONS, TRANSIENT, Alg, Handle, Rc, Tag
from machine.tpm.hashes import digest
from machine.tpm.keys import Key
from machine.tpm.public_area import PublicArea, check_template
from machine.tpm.tpm_state import TpmState

MAX_SENSITIVE_BYTES = 128
MAX_DATA_BYTES = MAX_DIGEST + 2
_HIERARCHIES = (Handle.OWNER, Handle.PLATFORM, Handle.ENDORSEMENT, Handle.NULL)


class Sensitive(msgspec.Struct, frozen=True):
    """TPMS_SENSITIVE_CREATE."""

    auth: bytes
    data: bytes


def object_handle(source: Unmarshaller) -> int:
    """Unmarshal a TPMI_DH_OBJECT."""
    handle = source.u32()
    if handle not in TRANSIENT and handle not in PERSISTENT:
        raise TpmError(Rc.VALUE)
    return handle


def context_handle(source: Unmarshaller) -> int:
    """Unmarshal a TPMI_DH_CONTEXT."""
    handle = source.u32()
    if handle not in TRANSIENT and not any(handle in kind for kind in SESSIONS):
        raise TpmError(Rc.VALUE)
    return handle


def hierarchy(source: Unmarshaller) -> int:
    """Unmarshal a TPMI_RH_HIERARCHY+."""
    handle = source.u32()
    if handle not in _HIERARCHIES:
        raise TpmError(Rc.VALUE)
    return handle


def sensitive_create(source: Unmarshaller) -> Sensitive:
    """Unmarshal a TPM2B_SENSITIVE_CREATE."""
    size = source.u16()
    if size == 0:
        raise TpmError(Rc.SIZE)
    start = source.at
    found = Sensitive(source.sized().rstrip(b"\0"), source.sized(MAX_SENSITIVE_BYTES))
    if source.at - start != size:
        raise TpmError(Rc.SIZE)
    return found


def data(source: Unmarshaller) -> bytes:
    """Unmarshal a TPM2B_DATA."""
    return source.sized(MAX_DATA_BYTES)


def create_primary(  # noqa: PLR0917 - the parameters of the command
    state: TpmState,
    parent: int,
    sensitive: Sensitive,
    template: PublicArea,
    outside_info: bytes,
    creation_pcr: pcrs.Selections,
) -> bytes:
    """Execute TPM2_CreatePrimary."""
    if parent != Handle.ENDORSEMENT:
        raise TpmError(in_handle(1, Rc.HIERARCHY))
    handle = state.free_slot()
    try:
        check_template(template)
    except TpmError as error:
        raise TpmError(in_parameter(2, error.code)) from None
    if len(sensitive.auth) > DIGEST_SIZES[template.name_alg]:
        raise TpmError(in_parameter(1, Rc.SIZE))
    state.loaded[handle] = (template.marshal(), sensitive.data, sensitive.auth)
    key = state.key(handle)
    creation = _creation_data(state, key, outside_info, creation_pcr)
    creation_hash = digest(template.name_alg, creation)
    proof = state.ticket(key.name + creation_hash)
    ticket = Tag.CREATION.to_bytes(2, "big") + Handle.ENDORSEMENT.to_bytes(4, "big") + sized(proof)
    public = sized(key.public.marshal())
    return handle.to_bytes(4, "big") + public + sized(creation) + sized(creation_hash) + ticket + sized(key.name)


def _creation_data(state: TpmState, key: Key, outside_info: bytes, creation_pcr: pcrs.Selections) -> bytes:
    """Return the TPMS_CREATION_DATA: a primary key's parent is the hierarchy, whose Name is its handle."""
    parent = sized(Handle.ENDORSEMENT.to_bytes(4, "big"))
    return (
        pcrs.marshal(pcrs.allocated(creation_pcr))
        + sized(state.pcrs.digest(key.public.name_alg, creation_pcr))
        + bytes([1 << state.locality])
        + Alg.NULL.to_bytes(2, "big")
        + parent
        + parent
        + sized(outside_info)
    )


def read_public(state: TpmState, handle: int) -> bytes:
    """Execute TPM2_ReadPublic."""
    key = state.key(handle)
    return sized(key.public.marshal()) + sized(key.name) + sized(key.qualified_name)


def flush_context(state: TpmState, handle: int) -> bytes:
    """Execute TPM2_FlushContext. Its handle is a parameter."""
    if handle not in state.loaded:
        raise TpmError(in_parameter(1, Rc.HANDLE))
    del state.loaded[handle]
    return b""
