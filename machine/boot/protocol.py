"""What the two Multiboot protocols have in common: a header in the image asks, boot information in RAM tells."""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from machine.boot.elf import Executable, SectionTable, Segment
from machine.boot.placement import Region
from machine.errors import MachineError

LOADER_NAME = b"python-machine multiboot\0"
LOWER_KIB = 639
"""Memory below the extended BIOS data area, in KiB."""
NO_DISPLAY = "the image asks for a graphics mode; there is no display, so it boots without a framebuffer"


class Addresses(NamedTuple):
    """Where a flat image goes, physically, as its header says."""

    header: int
    """Of the Multiboot header itself: it ties addresses to offsets in the file."""
    load: int
    load_end: int
    """0: all of the file is loaded."""
    bss_end: int
    """0: nothing follows the file's bytes."""


class Range(NamedTuple):
    """Where a relocatable image wants to be."""

    lowest: int
    highest: int
    alignment: int
    required: bool


class Request(NamedTuple):
    """What a header asks of the loader."""

    addresses: Addresses | None = None
    """None for an ELF file, whose own headers say where it goes."""
    entry: int | None = None
    """Physical address of the first instruction; None for what the ELF file says."""
    within: Range | None = None
    """Of a relocatable image."""
    notes: tuple[str, ...] = ()
    """Wishes that were not granted and need not be."""


class PlacedModule(NamedTuple):
    """A module in RAM."""

    base: int
    size: int
    command_line: bytes
    """Ends in NUL, like all text here."""


class Facts(NamedTuple):
    """What a kernel is told."""

    command_line: bytes
    modules: Sequence[PlacedModule]
    memory: Sequence[Region]
    sections: SectionTable | None
    load_base: int | None
    """Lowest address of a relocatable image."""

    @property
    def upper_kib(self) -> int:
        """Memory from 1 MiB on, in KiB."""
        return self.memory[-1].length >> 10


class BootProtocol(NamedTuple):
    """One version of the protocol."""

    name: str
    header_magic: int
    header_words: int
    """The sum of so many words, magic first, is 0 modulo 2 to the 32nd."""
    alignment: int
    searched: int
    """All of the header lies within so many bytes from the start of the image."""
    boot_magic: int
    """EAX when the kernel is started."""
    lowest_information: int
    """Boot information goes here or higher."""
    read_header: Callable[[bytes, int], Request]
    """What the header at an offset asks for. Raises MachineError for what this loader cannot do."""
    information: Callable[[Facts, int], bytes]
    """The boot information for a physical address; its length does not depend on that."""

    def find_header(self, image: bytes) -> tuple[int | None, int | None]:
        """Offset of the first header with a right checksum, and of the first with a wrong one; None: there is none."""
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
    """An image without headers of its own. Raises MachineError for addresses that contradict each other or the file."""
    header, load, load_end, bss_end = addresses
    start = header_offset - (header - load)
    if not 0 <= load <= header or start < 0:
        raise MachineError(f"the header's load address {load:#x} does not fit its own address {header:#x} in the file")
    size = load_end - load if load_end else len(image) - start
    if size <= 0:
        raise MachineError(f"the header's load end address {load_end:#x} is not behind its load address {load:#x}")
    if start + size > len(image):
        raise MachineError(f"the image is cut short: its header says {size} bytes, and {len(image) - start} are there")
    memory_size = bss_end - load if bss_end else size
    if memory_size < size:
        raise MachineError(f"the header's BSS end address {bss_end:#x} is not behind the image's bytes")
    return Executable(entry, (Segment(load, image[start : start + size], memory_size, 7),))
