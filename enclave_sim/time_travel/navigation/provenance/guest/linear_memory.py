"""The linear memory of a guest, and who wrote each of its bytes."""

from enclave_sim.time_travel.navigation.provenance.guest.arithmetic import TrapError
from enclave_sim.time_travel.navigation.provenance.guest.items import Piece

_PAGE = 65536


class LinearMemory:
    """The bytes, and of each byte that the guest has written the item that it belongs to.

    Args:
        size: In bytes.
    """

    def __init__(self, size: int) -> None:
        self.content = bytearray(size)
        self.written: dict[int, Piece] = {}
        """The byte of an item in each byte that the guest has written."""

    @property
    def pages(self) -> int:
        """The size in pages of 64 KiB."""
        return len(self.content) // _PAGE

    def check(self, address: int, size: int) -> None:
        """Raise `TrapError` if some bytes are not all in the memory."""
        if address + size > len(self.content):
            raise TrapError(f"an access outside the memory at {address:#x}")

    def read(self, address: int, size: int) -> bytes:
        """Return some bytes.

        Raises:
            TrapError: They are not all in the memory.
        """
        self.check(address, size)
        return bytes(self.content[address : address + size])

    def put(self, address: int, content: bytes, item: int) -> None:
        """Write the value of an item."""
        self.content[address : address + len(content)] = content
        for index in range(len(content)):
            self.written[address + index] = Piece(item, index, 1)

    def fill(self, address: int, length: int, value: int, item: int) -> None:
        """Write the single byte of an item as often as `length` says."""
        self.content[address : address + length] = bytes([value]) * length
        self.written.update(dict.fromkeys(range(address, address + length), Piece(item, 0, 1)))

    def pieces(self, address: int, size: int) -> list[Piece]:
        """Return the items in some bytes, those of one item joined."""
        found: list[Piece] = []
        for index in range(address, address + size):
            piece = self.written.get(index, Piece(-1, index, 1))
            last = found[-1] if found else None
            if last is not None and last.item == piece.item and last.first + last.size == piece.first:
                found[-1] = Piece(last.item, last.first, last.size + 1)
            else:
                found.append(piece)
        return found
