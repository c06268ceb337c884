"""The common part of both Multiboot protocols: requests in the image's header, boot information in RAM."""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from machine.boot.elf import Executable, SectionTable, Segment
from machine.boot.placement import Region
from machine.errors import MachineError

LOADER_NAME = b"python-machine multiboot\0"
LOWER_KIB = 639
"""Memory below the extended BIOS data area, in KiB."""
NO_GRAPHICS = "the image asks for a graphics mode, which is not there; it boots without a framebuffer"
TEXT_FRAMEBUFFER = struct.pack("<Q3I2B", 0xB_8000, 160, 80, 25, 16, 2)
"""Framebuffer information of mode 3: address, bytes per row, columns, rows, bits per cell, and the type, EGA text."""


class Addresses(NamedTuple):
    """Physical addresses of a flat image, from its header."""

    header: int
    """Address of the Multiboot header itself, which relates addresses to file offsets."""
    load: int
    load_end: int
    """0: the whole file is loaded."""
    bss_end: int
    """0: there is no BSS."""


class Range(NamedTuple):
    """The address range allowed by a relocatable image."""

    lowest: int
    highest: int
    alignment: int
    required: bool


class Request(NamedTuple):
    """A header's requests to the loader."""

    addresses: Addresses | None = None
    """None for an ELF file, which has addresses in its own headers."""
    entry: int | None = None
    """Physical address of the first instruction; None: that of the ELF file."""
    within: Range | None = None
    """None unless the image is relocatable."""
    notes: tuple[str, ...] = ()
    """Optional requests that are not granted."""


class PlacedModule(NamedTuple):
    """A module in RAM."""

    base: int
    size: int
    command_line: bytes
    """NUL-terminated, like all text in the boot information."""


class Facts(NamedTuple):
    """The contents of the boot information."""

    command_line: bytes
    modules: Sequence[PlacedModule]
    memory: Sequence[Region]
    sections: SectionTable | None
    load_base: int | None
    """Lowest address of a relocatable image; None for any other."""
    screen: bool = False
    """True if the machine has a text screen."""

    @property
    def upper_kib(self) -> int:
        """Memory from 1 MiB on, in KiB."""
        return self.memory[-1].length >> 10


class BootProtocol(NamedTuple):
    """One version of the protocol."""

    name: str
    header_magic: int
    header_words: int
    """Number of 32-bit words, from the magic on, whose sum is 0 modulo 2**32."""
    alignment: int
    """Of the header in the image, in bytes."""
    searched: int
    """Number of bytes at the beginning of the image that must contain the complete header."""
    boot_magic: int
    """Value of EAX when the kernel starts."""
    lowest_information: int
    """Lowest physical address allowed for the boot information."""
    read_header: Callable[[bytes, int, bool], Request]
    """Reads the request in the header at an offset; the last argument is True if there is a text screen.

    Raises MachineError for unsupported requests.
    """
    information: Callable[[Facts, int], bytes]
    """Makes the boot information for a physical address; its length does not depend on the address."""

    def find_header(self, image: bytes) -> tuple[int | None, int | None]:
        """Return the offsets of the first header with a correct checksum and of the first with a wrong one, or None."""
        magic, wrong = struct.pack("<I", self.header_magic), None
        end = min(self.searched, len(image))
        at = image.find(magic, 0, end)
        while 0 <= at <= end - 4 * self.header_words:
            if at % self.alignment == 0:
                if not sum(struct.unpack_from(f"<{self.header_words}I", image, at)) & 0xFFFF_FFFF:
                    return at, wrong
                wrong = at if wrong is None else wrong
            at = image.find(magic, at + 1, end)
        return None, wrong


def flat(image: bytes, header_offset: int, addresses: Addresses, entry: int) -> Executable:
    """Make an executable from a flat image.

    Args:
        image: The whole file.
        header_offset: Offset of the Multiboot header in the file, in bytes.
        addresses: The addresses in that header.
        entry: Physical address of the first instruction.

    Returns:
        An executable of one segment.

    Raises:
        MachineError: The addresses contradict each other or the file.
    """
    header, load, load_end, bss_end = addresses
    start = header_offset - (header - load)
    if not 0 <= load <= header or start < 0:
        raise MachineError(f"the header's load address {load:#x} does not fit its own address {header:#x} in the file")
    size = load_end - load if load_end else len(image) - start
    if size <= 0:
        raise MachineError(f"the header's load end address {load_end:#x} is not above its load address {load:#x}")
    if start + size > len(image):
        raise MachineError(f"the image is cut short: its header says {size} bytes, and {len(image) - start} are there")
    memory_size = bss_end - load if bss_end else size
    if memory_size < size:
        raise MachineError(f"the header's BSS end address {bss_end:#x} is below the end of the image's bytes")
    return Executable(entry, (Segment(load, image[start : start + size], memory_size, 7),))
