"""Unmarshalling and marshalling (TPM 2.0 Library, Part 2): big-endian integers, sized buffers, and structures of them.

A format-one response code says which handle, parameter or session is wrong; `in_handle`, `in_parameter` and
`in_session` add that number (Part 1, "Response Code Details").
"""

from collections.abc import Container

from machine.tpm.constants import DIGEST_SIZES, MAX_DIGEST, Rc

_FORMAT_ONE = 0x080


class TpmError(Exception):
    """The command fails with a response code, `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"TPM_RC {code:#05x}")
        self.code = code


def in_handle(number: int, code: int) -> int:
    """Return the response code for an error in handle `number`, from 1."""
    return code + (number << 8) if code & _FORMAT_ONE else code


def in_parameter(number: int, code: int) -> int:
    """Return the response code for an error in parameter `number`, from 1."""
    return code + 0x040 + (number << 8) if code & _FORMAT_ONE else code


def in_session(number: int, code: int) -> int:
    """Return the response code for an error in session `number`, from 1."""
    return code + 0x800 + (number << 8) if code & _FORMAT_ONE else code


def sized(data: bytes) -> bytes:
    """Return a TPM2B of the data."""
    return len(data).to_bytes(2, "big") + data


class Unmarshaller:
    """Reads values from a buffer, in order. Raises TpmError with a TPM's response code."""

    __slots__ = ("_data", "_end", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._end = len(data)
        self.at = 0
        """Number of bytes read so far."""

    @property
    def left(self) -> int:
        """Number of bytes left."""
        return self._end - self.at

    def take(self, size: int) -> bytes:
        """Take the next `size` bytes."""
        at = self.at
        if size > self._end - at:
            raise TpmError(Rc.INSUFFICIENT)
        self.at = at + size
        return self._data[at : self.at]

    def u8(self) -> int:
        """Take a BYTE."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Take a UINT16."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Take a UINT32."""
        return int.from_bytes(self.take(4), "big")

    def sized(self, limit: int = MAX_DIGEST) -> bytes:
        """Take a TPM2B, and return its content of at most `limit` bytes."""
        size = self.u16()
        if size > limit:
            raise TpmError(Rc.SIZE)
        return self.take(size)

    def choice(self, allowed: Container[int], code: Rc) -> int:
        """Take a UINT16 that must be one of `allowed`; otherwise fail with response code `code`."""
        value = self.u16()
        if value not in allowed:
            raise TpmError(code)
        return value

    def hash_alg(self) -> int:
        """Take a TPMI_ALG_HASH other than TPM_ALG_NULL."""
        return self.choice(DIGEST_SIZES, Rc.HASH)
