"""Failure mode (TPM 2.0 Library, Part 1): the TPM reports only its failure and its manufacturer."""

from machine.tpm.buffers import Unmarshaller, sized
from machine.tpm.capabilities import MANUFACTURER_PROPERTIES, TPM_PROPERTIES, fixed_property
from machine.tpm.constants import Code, Rc, Tag
from machine.tpm.messages import HEADER_BYTES, Header, error_response, message

_FAILED = error_response(Rc.FAILURE)


def respond_failed(command: bytes) -> bytes:
    """Return the response to `command` in failure mode."""
    header, source = Header.of(command), Unmarshaller(command[HEADER_BYTES:])
    if header.tag != Tag.NO_SESSIONS or header.size != len(command):
        return _FAILED
    if header.code == Code.GET_TEST_RESULT and not source.left:
        data = bytes(12)  # where it failed, which a model does not know
        return message(Rc.SUCCESS, sized(data) + Rc.FAILURE.to_bytes(4, "big"))
    if header.code == Code.GET_CAPABILITY and source.left == 12 and source.u32() == TPM_PROPERTIES:
        return message(Rc.SUCCESS, _property(source.u32(), source.u32()))
    return _FAILED


def _property(wanted: int, count: int) -> bytes:
    first = max(wanted, MANUFACTURER_PROPERTIES[0])
    shown = first in MANUFACTURER_PROPERTIES and count > 0
    entry = first.to_bytes(4, "big") + fixed_property(first).to_bytes(4, "big") if shown else b""
    more = first < MANUFACTURER_PROPERTIES[-1]
    return bytes([more]) + TPM_PROPERTIES.to_bytes(4, "big") + int(shown).to_bytes(4, "big") + entry
