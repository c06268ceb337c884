"""Failure mode (TPM 2.0 Library, Part 1): the TPM says that it has failed, whose it is, and nothing more."""

from machine.tpm.capabilities import MANUFACTURER_PROPERTIES, TPM_PROPERTIES, fixed_property
from machine.tpm.constants import Code, Rc, Tag

_FAILED = Tag.NO_SESSIONS.to_bytes(2, "big") + (10).to_bytes(4, "big") + Rc.FAILURE.to_bytes(4, "big")


def respond_failed(command: bytes) -> bytes:
    """The response to `command` in failure mode."""
    if command[:2] != Tag.NO_SESSIONS.to_bytes(2, "big") or int.from_bytes(command[2:6], "big") != len(command):
        return _FAILED
    words = [int.from_bytes(command[at : at + 4], "big") for at in range(6, len(command), 4)]
    if len(command) == 10 and words == [Code.GET_TEST_RESULT]:
        data = bytes(12)  # where it failed: a model has no such place
        return _success(len(data).to_bytes(2, "big") + data + Rc.FAILURE.to_bytes(4, "big"))
    if len(command) == 22 and words[:2] == [Code.GET_CAPABILITY, TPM_PROPERTIES]:
        return _success(_property(*words[2:]))
    return _FAILED


def _property(wanted: int, count: int) -> bytes:
    first = max(wanted, MANUFACTURER_PROPERTIES[0])
    shown = first in MANUFACTURER_PROPERTIES and count > 0
    entry = first.to_bytes(4, "big") + fixed_property(first).to_bytes(4, "big") if shown else b""
    more = first < MANUFACTURER_PROPERTIES[-1]
    return bytes([more]) + TPM_PROPERTIES.to_bytes(4, "big") + int(shown).to_bytes(4, "big") + entry


def _success(parameters: bytes) -> bytes:
    return Tag.NO_SESSIONS.to_bytes(2, "big") + (10 + len(parameters)).to_bytes(4, "big") + bytes(4) + parameters
