"""A reader of binary structures, field by field. Its errors name the field and its offset."""

from typing import Literal

from enclave_sim.attestation.errors import EvidenceError

ByteOrder = Literal["big", "little"]


class Reader:
    """A position in the bytes of one structure. TPM structures are big-endian, event logs little-endian."""

    __slots__ = ("_order", "data", "offset", "structure")

    def __init__(self, structure: str, data: bytes, order: ByteOrder = "big") -> None:
        self.structure = structure
        self.data = data
        self.offset = 0
        self._order: ByteOrder = order

    def error(self, field: str, offset: int, found: str, right: str) -> EvidenceError:
        """Return the error to raise for a field that begins at `offset`, in bytes."""
        return EvidenceError(f"{self.structure}: {field} at offset {offset} {found}; {right}")

    def take(self, count: int, field: str) -> bytes:
        """Return the next `count` bytes. Raises EvidenceError if fewer are left."""
        end = self.offset + count
        if end > len(self.data):
            left = len(self.data) - self.offset
            raise self.error(field, self.offset, f"is cut short: {left} bytes are left", f"it takes {count}")
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def number(self, width: int, field: str) -> int:
        """Read an unsigned number of `width` bytes."""
        return int.from_bytes(self.take(width, field), self._order)

    def expect(self, width: int, right: int, field: str, meaning: str) -> None:
        """Read a number with only one valid value. Raises EvidenceError for any other."""
        offset = self.offset
        found = self.number(width, field)
        if found != right:
            raise self.error(
                field, offset, f"is 0x{found:0{2 * width}x}", f"expected 0x{right:0{2 * width}x} ({meaning})"
            )

    def sized(self, field: str, least: int, most: int) -> bytes:
        """Read a TPM2B: a 16-bit size, and that many bytes, `least` to `most`."""
        offset = self.offset
        size = self.number(2, f"the size of {field}")
        if not least <= size <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise self.error(field, offset, f"has {size} bytes", f"expected {wanted}")
        return self.take(size, field)

    def end(self) -> None:
        """Raise EvidenceError if anything follows."""
        left = len(self.data) - self.offset
        if left:
            raise self.error("the end", self.offset, f"is followed by {left} bytes", "nothing may follow")


def unsized(data: bytes) -> bytes:
    """Return the contents of a TPM2B. Its size is not checked."""
    return data[2:]


def sized(data: bytes) -> bytes:
    """Encode bytes as a TPM2B."""
    return len(data).to_bytes(2, "big") + data
