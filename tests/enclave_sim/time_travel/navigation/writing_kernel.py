"""A kernel in which everything that can write to memory does."""

import struct

from tests.machine.boot import images

TABLES, DMA, DIRECTORY, STACK, DATA, PAGE = 0x10_0300, 0x20_0000, 0x20_1000, 0x20_3000, 0x20_0100, 0x40_0000
HANDLER = TABLES - 4
APART = b"\x90" * 30
CODE = (
    b"\xbc" + struct.pack("<I", STACK),  # mov $STACK, %esp
    b"\x0f\x01\x15" + struct.pack("<I", TABLES + 0x28),  # lgdt
    b"\xea" + struct.pack("<IH", images.BASE + 12 + 12 + 7, 8),  # ljmp $8, to the next instruction
    bytes.fromhex("66b81000 8ed0 8ed8"),  # mov $16, %ax; mov %ax, %ss; mov %ax, %ds
    APART,
    b"\xb8" + struct.pack(">I", TABLES + 0x40),  # mov of the address in network order to %eax
    bytes.fromhex("66ba1805 ef"),  # mov $0x518, %dx; out %eax, %dx: fw_cfg copies 4 bytes to DMA
    APART,
    b"\xbf" + struct.pack("<I", DIRECTORY),  # mov $DIRECTORY, %edi
    bytes.fromhex("c70783000000 c7470483004000 0f22df b810000000 0f22e0"),  # two entries of 4 MiB; CR3; CR4.PSE
    bytes.fromhex("0f20c0 0d00000080 0f22c0"),  # CR0.PG
    APART,
    b"\xa1" + struct.pack("<I", PAGE),  # a load: the second entry's accessed flag
    APART,
    b"\xa3" + struct.pack("<I", PAGE),  # a store: its dirty flag
    APART,
    b"\x0f\x01\x1d" + struct.pack("<I", TABLES + 0x30),  # lidt
    b"\xcd\x01",  # int $1 pushes 12 bytes
    APART,
    b"\xc7\x05" + struct.pack("<II", DATA, 7),  # a store
    APART,
    bytes.fromhex("b02a e6f4 f4"),  # mov $42, %al; out %al, $0xF4; hlt
)
GDT = struct.pack("<3Q", 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF)
IDT = struct.pack("<QHHHH", 0, HANDLER & 0xFFFF, 8, 0x8E00, HANDLER >> 16)
REGISTERS = struct.pack("<HI", 23, TABLES) + b"\0\0" + struct.pack("<HI", 15, TABLES + 0x18)
COPY = struct.pack(">IIQ", 0x0A, 4, DMA)
WRITERS = {
    "fw_cfg": range(DMA, DMA + 4),
    "a page walk": range(DIRECTORY + 4, DIRECTORY + 8),
    "interrupt delivery": range(STACK - 12, STACK),
    "code": range(DATA, DATA + 4),
}


def kernel() -> bytes:
    code = b"".join(CODE)
    tables = (GDT + IDT + REGISTERS).ljust(0x40, b"\0") + COPY
    size = HANDLER - images.BASE - 12
    return images.kernel1(code=code.ljust(size, b"\x90") + b"\xcf\0\0\0" + tables)
