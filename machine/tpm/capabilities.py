"""TPM2_GetCapability (TPM 2.0 Library, Part 3): the capabilities of the model, by group.

Every group is an ordered list of (property, entry); a request gives the first property and the number of properties.
Groups that the model lacks are empty: sessions, NV, persistent keys, audit, policies.
"""

from collections.abc import Callable

from machine.tpm import pcrs
from machine.tpm.buffers import TpmError, Unmarshaller, in_parameter
from machine.tpm.constants import (
    ECC_NIST_P256,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MAX_DIGEST,
    PCR_COUNT,
    TRANSIENT,
    VENDOR_STRING,
    Alg,
    Code,
    Handle,
    Rc,
)
from machine.tpm.hashes import HASHES
from machine.tpm.tpm_state import TpmState

ALGS, HANDLES, COMMANDS, PP_COMMANDS, AUDIT_COMMANDS, PCRS, TPM_PROPERTIES, PCR_PROPERTIES, ECC_CURVES = range(9)
AUTH_POLICIES, ACT, VENDOR_PROPERTY = 0x009, 0x00A, 0x100
_CAPABILITIES = (*range(ACT + 1), VENDOR_PROPERTY)
_VARIABLE = 0x200
_GROUP = 0x100
_MAX_LIST_BYTES = 1024 - 8

_ALGORITHMS: dict[int, int] = {  # TPMA_ALGORITHM: 0 asymmetric, 2 hash, 3 object, 8 signing, 10 method
    Alg.SHA1: 0x004,
    Alg.SHA256: 0x004,
    Alg.SHA384: 0x004,
    Alg.SHA512: 0x004,
    Alg.ECDSA: 0x101,
    Alg.KDF1_SP800_108: 0x404,
    Alg.ECC: 0x009,
    Alg.MLDSA: 0x109,
}
COMMAND_ATTRIBUTES: dict[int, int] = {  # TPMA_CC: 22 changes NV, 25-27 handles, 28 handle in the response
    Code.CREATE_PRIMARY: 1 << 28 | 1 << 25,
    Code.PCR_EVENT: 1 << 25 | 1 << 22,
    Code.PCR_RESET: 1 << 25 | 1 << 22,
    Code.SELF_TEST: 1 << 22,
    Code.STARTUP: 1 << 22,
    Code.SHUTDOWN: 1 << 22,
    Code.QUOTE: 1 << 25,
    Code.FLUSH_CONTEXT: 0,
    Code.READ_PUBLIC: 1 << 25,
    Code.GET_CAPABILITY: 0,
    Code.GET_RANDOM: 0,
    Code.GET_TEST_RESULT: 0,
    Code.PCR_READ: 0,
    Code.PCR_EXTEND: 1 << 25 | 1 << 22,
}
_FIXED: dict[int, int] = {
    0x100: int.from_bytes(b"2.0\0", "big"),  # FAMILY_INDICATOR
    0x101: 0,  # LEVEL
    0x102: 164,  # REVISION
    0x103: 75,  # DAY_OF_YEAR
    0x104: 2021,  # YEAR
    0x105: int.from_bytes(MANUFACTURER, "big"),
    **{0x106 + i: int.from_bytes(VENDOR_STRING[4 * i : 4 * i + 4], "big") for i in range(4)},
    0x10A: 1,  # VENDOR_TPM_TYPE
    0x10B: FIRMWARE_VERSION >> 32,
    0x10C: FIRMWARE_VERSION & 0xFFFF_FFFF,
    0x10D: 1024,  # INPUT_BUFFER
    0x10E: len(TRANSIENT),  # HR_TRANSIENT_MIN
    0x10F: 0,  # HR_PERSISTENT_MIN
    0x110: 0,  # HR_LOADED_MIN
    0x112: PCR_COUNT,
    0x113: pcrs.SELECT_BYTES,
    0x11E: 0xF80,  # MAX_COMMAND_SIZE
    0x11F: 0xF80,  # MAX_RESPONSE_SIZE
    0x120: MAX_DIGEST,
    0x129: len(COMMAND_ATTRIBUTES),  # TOTAL_COMMANDS
    0x12A: len(COMMAND_ATTRIBUTES),  # LIBRARY_COMMANDS
    0x12B: 0,  # VENDOR_COMMANDS
}
"""TPM_PT: fixed properties. Failure mode reports the manufacturer's, up to FIRMWARE_VERSION_2."""
MANUFACTURER_PROPERTIES = range(0x105, 0x10D)

Entries = list[tuple[int, bytes]]


def fixed_property(tag: int) -> int:
    """Return a property that never changes."""
    return _FIXED[tag]


def capability(source: Unmarshaller) -> int:
    """Unmarshal a TPM_CAP."""
    value = source.u32()
    if value not in _CAPABILITIES:
        raise TpmError(Rc.VALUE)
    return value


def get_capability(state: TpmState, group: int, first: int, count: int) -> bytes:
    """Execute TPM2_GetCapability."""
    if group == VENDOR_PROPERTY:
        raise TpmError(in_parameter(1, Rc.VALUE))
    if group == ACT or (group == PCRS and first) or (group == AUTH_POLICIES and first >> 24 != 0x40):
        raise TpmError(in_parameter(2, Rc.VALUE))
    if group == PCRS:
        more = count == 0
        found = [] if more else [(0, entry) for entry in _banks()]
    else:
        entries = [entry for entry in _ENTRIES[group](state, first) if entry[0] >= first]
        limit = min(count, _MAX_LIST_BYTES // len(entries[0][1])) if entries else count
        found, more = entries[:limit], len(entries) > limit
    data = len(found).to_bytes(4, "big") + b"".join(entry for _, entry in found)
    return bytes([more]) + group.to_bytes(4, "big") + data


def _numbered(table: dict[int, int], width: int) -> Entries:
    return [(n, n.to_bytes(width, "big") + table[n].to_bytes(4, "big")) for n in sorted(table)]


def _algorithms(state: TpmState, first: int) -> Entries:  # noqa: ARG001
    return _numbered(_ALGORITHMS, 2)


def _handles(state: TpmState, first: int) -> Entries:
    kind = first >> 24
    if kind not in _HANDLE_TYPES:
        raise TpmError(in_parameter(2, Rc.HANDLE))
    handles = {0x00: range(PCR_COUNT), 0x40: _PERMANENT, TRANSIENT[0] >> 24: sorted(state.loaded)}.get(kind, ())
    return [(handle, handle.to_bytes(4, "big")) for handle in handles]


_HANDLE_TYPES = (0x00, 0x01, 0x02, 0x03, 0x40, 0x80, 0x81)
_PERMANENT = (Handle.NULL, Handle.PASSWORD, Handle.ENDORSEMENT)


def _commands(state: TpmState, first: int) -> Entries:  # noqa: ARG001
    return [(code, (code | COMMAND_ATTRIBUTES[code]).to_bytes(4, "big")) for code in sorted(COMMAND_ATTRIBUTES)]


def _nothing(state: TpmState, first: int) -> Entries:  # noqa: ARG001
    return []


def _banks() -> list[bytes]:
    all_pcrs = b"\xff" * pcrs.SELECT_BYTES
    return [
        bank.to_bytes(2, "big") + bytes([len(all_pcrs)]) + (all_pcrs if bank in pcrs.BANKS else bytes(len(all_pcrs)))
        for bank in HASHES
    ]


def _tpm_properties(state: TpmState, first: int) -> Entries:
    variable = {
        0x200: 0,  # PERMANENT
        0x201: 1 << 2 | (state.shutdown_type is not None) << 31,  # STARTUP_CLEAR: ehEnable, orderly
        0x207: len(TRANSIENT) - len(state.loaded),  # HR_TRANSIENT_AVAIL
        0x20E: state.failed_tries,  # LOCKOUT_COUNTER
        0x20F: 3,  # MAX_AUTH_FAIL
    }
    return _numbered(variable if first >= _VARIABLE else _FIXED, 4) if first < _VARIABLE + _GROUP else []


def _pcr_properties(state: TpmState, first: int) -> Entries:  # noqa: ARG001
    rules: dict[int, Callable[[pcrs.PcrAttributes], int]] = {0x00: lambda a: a.saved}
    for locality in range(5):
        rules[0x01 + 2 * locality] = lambda a, bit=locality: a.extend >> bit & 1  # type: ignore[misc]
        rules[0x02 + 2 * locality] = lambda a, bit=locality: a.reset >> bit & 1  # type: ignore[misc]
    rules |= {0x11: lambda a: not a.counted, 0x12: lambda a: a.reset >> 4 & 1}
    found = []
    for tag, rule in rules.items():
        bits = sum(bool(rule(a)) << n for n, a in enumerate(pcrs.ATTRIBUTES))
        select = bits.to_bytes(pcrs.SELECT_BYTES, "little")
        found.append((tag, tag.to_bytes(4, "big") + bytes([len(select)]) + select))
    return found


def _curves(state: TpmState, first: int) -> Entries:  # noqa: ARG001
    return [(ECC_NIST_P256, ECC_NIST_P256.to_bytes(2, "big"))]


_ENTRIES: dict[int, Callable[[TpmState, int], Entries]] = {
    ALGS: _algorithms,
    HANDLES: _handles,
    COMMANDS: _commands,
    PP_COMMANDS: _nothing,
    AUDIT_COMMANDS: _nothing,
    TPM_PROPERTIES: _tpm_properties,
    PCR_PROPERTIES: _pcr_properties,
    ECC_CURVES: _curves,
    AUTH_POLICIES: _nothing,
}
