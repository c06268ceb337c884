"""fw_cfg, QEMU's interface for passing configuration to a guest (QEMU documentation, "Firmware Configuration Device").

    0x510 selector (16 bits, write)   0x511 data (8 bits, read)   0x514 DMA address (64 bits, big-endian)

    item 0x0000 "QEMU"    0x0001 features: port and DMA    0x0003 RAM size, 64 bits    0x0005 processors, 16 bits
    item 0x0019 file directory: count, then for each file size, item (from 0x20), 16 reserved bits, 56 bytes of name

Storing the low half of the DMA address (0x518) starts an access that is described in RAM: control (bit 0 error, 1 read,
2 skip, 3 select the item in bits 31-16, 4 write), length, 64-bit address; all big-endian. It is complete immediately,
with control zero or the error bit. All items are read-only. Other items, including QEMU's files for its own firmware,
do not exist here and read as zeros.
"""

import struct
from collections.abc import Mapping

from machine.bus.bus import Device
from machine.bus.ram import Ram
from machine.bus.writer import Writer
from machine.errors import MachineError

PORT, DMA_PORT = 0x510, 0x514
DMA_OFFSET = DMA_PORT - PORT
SIGNATURE, FEATURES, RAM_SIZE, PROCESSORS, FILE_DIRECTORY, FIRST_FILE = 0x00, 0x01, 0x03, 0x05, 0x19, 0x20
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16
_WRITER = Writer("device", "fw_cfg")
_DMA_SIGNATURE = b"QEMU CFG"
_PORT_AND_DMA = 3
_ACCESS = struct.Struct(">IIQ")
_FILE = struct.Struct(">IHH56s")
_LONGEST_NAME = 55
_MAX_FILES = 32
_ITEM = 0xBFFF  # in old versions, bit 14 of the selector requested write access


class FwCfg(Device):
    """The fw_cfg device; `files` maps names to contents.

    Raises MachineError for a name that is not `opt/...` in at most 55 ASCII characters, and for more than 32 files.
    """

    STATE = ("_item", "_position", "_dma_address")
    WIRING = ("_ram", "_items")

    def __init__(self, ram: Ram, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self._ram = ram
        if len(files) > _MAX_FILES:
            raise MachineError(f"{len(files)} fw_cfg files are more than {_MAX_FILES}")
        self._items = {
            SIGNATURE: b"QEMU",
            FEATURES: struct.pack("<I", _PORT_AND_DMA),
            RAM_SIZE: struct.pack("<Q", ram.size),
            PROCESSORS: struct.pack("<H", 1),
        }
        directory = struct.pack(">I", len(files))
        for item, name in enumerate(sorted(files), FIRST_FILE):
            if not (name.startswith("opt/") and name.isascii() and name.isprintable() and len(name) <= _LONGEST_NAME):
                raise MachineError(
                    f"fw_cfg file name {name!r} is not opt/... in at most {_LONGEST_NAME} ASCII characters"
                )
            self._items[item] = bytes(files[name])
            directory += _FILE.pack(len(files[name]), item, 0, name.encode())
        self._items[FILE_DIRECTORY] = directory
        self.reset()

    def reset(self) -> None:
        """Select the signature."""
        self._select(SIGNATURE)
        self._dma_address = 0

    def read(self, offset: int, size: int) -> int:
        """Return the next byte of the item, at either port as on QEMU, or the signature at the DMA address."""
        if offset < DMA_OFFSET:
            return self._next(1)[0] if size == 1 else 0
        start = offset - DMA_OFFSET
        return int.from_bytes(_DMA_SIGNATURE[start : start + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Select an item, or set half of the DMA address. The data port cannot be written."""
        if offset == 0 and size == 2:
            self._select(value)
        elif size == 4 and offset in (DMA_OFFSET, DMA_OFFSET + 4):
            half = int.from_bytes(value.to_bytes(4, "little"), "big")
            if offset == DMA_OFFSET:
                self._dma_address = half << 32
            else:
                address, self._dma_address = self._dma_address | half, 0
                self._access(address)

    def _select(self, item: int) -> None:
        self._item = self._items.get(item & _ITEM, b"")
        self._position = 0

    def _next(self, length: int) -> bytes:
        data = self._item[self._position : self._position + length]
        self._skip(length)
        return data.ljust(length, b"\0")

    def _skip(self, length: int) -> None:
        self._position = min(self._position + length, len(self._item))

    def _access(self, address: int) -> None:
        """Execute the access described at a physical address.

        Outside RAM it is ignored, because there is nowhere to report an error.
        """
        if address + _ACCESS.size > self._ram.size:
            return
        control, length, target = _ACCESS.unpack(self._ram.read(address, _ACCESS.size))
        if control & SELECT:
            self._select(control >> 16)
        failed = False
        if control & READ:
            failed = target + length > self._ram.size
            if not failed:
                self._ram.write(target, self._next(length), _WRITER)
        elif control & WRITE:
            failed = length > 0
        elif control & SKIP:
            self._skip(length)
        self._ram.write(address, struct.pack(">I", ERROR if failed else 0), _WRITER)
