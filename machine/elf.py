"""The few fields of an ELF64 executable that a loader needs; symbols and debug lines are pyelftools' business."""

import struct
from dataclasses import dataclass

from machine.errors import MachineError

_PT_LOAD = 1
_EM_X86_64 = 62


@dataclass(frozen=True, slots=True)
class Segment:
    """A loadable segment: where it goes physically, its bytes, and its size in memory."""

    physical: int
    data: bytes
    memory_size: int
    flags: int
    """PF_X = 1, PF_W = 2, PF_R = 4."""


@dataclass(frozen=True, slots=True)
class Executable:
    """What is needed to load and start an image."""

    entry: int
    segments: tuple[Segment, ...]
    section_headers: bytes
    section_header_size: int
    section_names_index: int


def parse(image: bytes) -> Executable:
    """Read an ELF64 x86-64 executable. Raises MachineError for anything else or a cut file."""
    if image[:4] != b"\x7fELF":
        raise MachineError("the image is not an ELF file (no \\x7fELF at its start)")
    if image[4:6] != b"\2\1":
        raise MachineError("the image is not a 64-bit little-endian ELF file")
    try:
        fields = struct.unpack_from("<HHIQQQIHHHHHH", image, 16)
        _, architecture, _, entry, ph_offset, sh_offset, _, _, ph_size, ph_count, sh_size, sh_count, names = fields
        if architecture != _EM_X86_64:
            raise MachineError(f"the image is for ELF machine {architecture}, not x86-64 ({_EM_X86_64})")
        segments = []
        for index in range(ph_count):
            kind, flags, offset, _, physical, file_size, memory_size, _ = struct.unpack_from(
                "<IIQQQQQQ", image, ph_offset + index * ph_size
            )
            if kind == _PT_LOAD and memory_size:
                data = image[offset : offset + file_size]
                if file_size > memory_size:
                    raise MachineError(f"segment {index} of the image has more bytes in the file than in memory")
                if len(data) < file_size:
                    raise MachineError(f"the image is cut short inside segment {index}")
                segments.append(Segment(physical, data, memory_size, flags))
    except (struct.error, OverflowError) as error:
        raise MachineError(f"the image's ELF headers are cut short or point outside it: {error}") from None
    headers = image[sh_offset : sh_offset + sh_size * sh_count]
    return Executable(entry, tuple(segments), headers, sh_size, names)
