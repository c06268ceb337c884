"""The authorization area of a command (TPM 2.0 Library, Part 1, "Session Processing"): passwords only.

The model has no TPM2_StartAuthSession and therefore no other sessions: their handles refer to nothing.
"""

import msgspec

from machine.tpm.buffers import TpmError, Unmarshaller, in_session
from machine.tpm.commands import Command
from machine.tpm.constants import SESSIONS, Handle, Rc
from machine.tpm.tpm_state import TpmState

MAX_SESSIONS = 3
_RESERVED = 0x18
_CONTINUE_SESSION = 1
_MIN_SIZE = 9


class Password(msgspec.Struct, frozen=True):
    """A password of the authorization area."""

    attributes: int
    value: bytes


def authorize(state: TpmState, source: Unmarshaller, handles: list[int], row: Command) -> list[Password]:
    """Unmarshal the authorization area and authorize the handles that need it. Raises TpmError."""
    size = source.u32()
    if not _MIN_SIZE <= size <= source.left:
        raise TpmError(Rc.SIZE)
    if not row.sessions:
        raise TpmError(Rc.AUTH_CONTEXT)
    passwords = _passwords(Unmarshaller(source.take(size)))
    if row.authorized > len(passwords):
        raise TpmError(Rc.AUTH_MISSING)
    for number, password in enumerate(passwords, 1):
        if number > row.authorized:
            raise TpmError(in_session(number, Rc.HANDLE))
        try:
            state.check_password(handles[number - 1], password.value)
        except TpmError as error:
            raise TpmError(in_session(number, error.code)) from None
    return passwords


def _passwords(area: Unmarshaller) -> list[Password]:
    found: list[Password] = []
    while area.left:
        number = len(found) + 1
        if number > MAX_SESSIONS:
            raise TpmError(in_session(number, Rc.SIZE))
        try:
            found.append(_password(area, number - 1))
        except TpmError as error:
            raise TpmError(in_session(number, error.code)) from None
    return found


def _password(area: Unmarshaller, index: int) -> Password:
    handle = area.u32()
    if handle != Handle.PASSWORD and not any(handle in kind for kind in SESSIONS):
        raise TpmError(Rc.VALUE)
    nonce = area.sized()
    attributes = area.u8()
    if attributes & _RESERVED:
        raise TpmError(Rc.RESERVED_BITS)
    value = area.sized()
    if handle != Handle.PASSWORD:
        raise TpmError(Rc.REFERENCE_S0 + index)
    if attributes & ~_CONTINUE_SESSION:
        raise TpmError(Rc.ATTRIBUTES)
    if nonce:
        raise TpmError(Rc.NONCE)
    return Password(attributes, value.rstrip(b"\0"))


def response_area(passwords: list[Password]) -> bytes:
    """Return the authorization area of the response."""
    return b"".join(b"\0\0" + bytes([p.attributes | _CONTINUE_SESSION]) + b"\0\0" for p in passwords)
