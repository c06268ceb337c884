"""The framing of a WebAssembly module: header, sections, names of custom sections.

WebAssembly core specification, 5.5.2 (sections), 5.5.3 (custom sections), 5.5.16 (modules) and 5.2.2 (LEB128
integers). This suffices to find, remove and add custom sections. wasmtime checks the content and order of other
sections.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum

import msgspec

from enclave_sim.payload.errors import ComponentGiven, MalformedModule


class SectionId(IntEnum):
    """Section ids (WebAssembly core specification, 5.5.2). Sections from TYPE to DATA come in this order."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12
    TAG = 13


SECTION_NAMES: dict[int, str] = {each: each.name.lower().replace("_", " ") for each in SectionId}
MODULE_HEADER = b"\0asm" + (1).to_bytes(4, "little")
COMPONENT_HEADER = b"\0asm" + bytes([13, 0, 1, 0])
"""The component model: version 13, layer 1."""
"""Magic and version 1: the first eight bytes of every core module."""

_U32_MAX_BYTES = 5


class Section(msgspec.Struct, frozen=True):
    """One section of a module, as in the file."""

    id: int
    """Section id: 0 for custom sections, 1 type, 2 import and so on."""

    offset: int
    """Offset of the section's id byte in the module."""

    raw: bytes
    """The complete section: id, size and payload, exactly as in the file."""

    payload_at: int
    """Offset of the payload in `raw`: after id and size, and after the name of a custom section."""

    name: str | None
    """Name of a custom section, None for other sections."""

    @property
    def end(self) -> int:
        """Offset in the module of the first byte after the section."""
        return self.offset + len(self.raw)

    @property
    def payload(self) -> bytes:
        """The content of the section, without id, size and the name of a custom section."""
        return self.raw[self.payload_at :]


def encode_u32(value: int) -> bytes:
    """Return the shortest LEB128 encoding of `value`. Raises ValueError unless it is 0 to 2**32 - 1."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value} is not an unsigned 32-bit integer")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_u32(data: bytes, offset: int, *, section_start: int = 0) -> tuple[int, int]:
    """Read an unsigned LEB128 integer of 32 bits.

    Padded encodings are legal WebAssembly (linkers write them), so they are accepted.

    Args:
        data: The bytes of a module or a part of it.
        offset: The offset of the integer.
        section_start: The offset of its section, for an error.

    Returns:
        The value, and the offset after it.

    Raises:
        MalformedModule: The data ends too early, the encoding is longer than 5 bytes, or the value does not fit.
    """
    value = 0
    for index in range(_U32_MAX_BYTES):
        if offset + index >= len(data):
            raise MalformedModule(offset, section_start, "a LEB128 integer is cut off by the end of the file")
        byte = data[offset + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >= 1 << 32:
                raise MalformedModule(offset, section_start, "a LEB128 integer does not fit 32 bits")
            return value, offset + index + 1
    raise MalformedModule(offset, section_start, f"a LEB128 integer is longer than {_U32_MAX_BYTES} bytes")


def sections(module: bytes) -> Iterator[Section]:
    """Iterate over the sections of a module in file order.

    Every byte of the module belongs to the header or to one section.

    Args:
        module: The module.

    Yields:
        The sections.

    Raises:
        MalformedModule: The header or the framing of a section is wrong. Raised during iteration, at the first error.
        ComponentGiven: The same, for a component.
    """
    if module.startswith(COMPONENT_HEADER):
        raise ComponentGiven
    if not module.startswith(MODULE_HEADER):
        found = module[: len(MODULE_HEADER)].hex() or "nothing"
        raise MalformedModule(0, 0, f"a module starts with {MODULE_HEADER.hex()}, this file with {found}")
    offset = len(MODULE_HEADER)
    while offset < len(module):
        section = _section_at(module, offset)
        yield section
        offset = section.end


def custom_sections(module: bytes, name: str) -> list[Section]:
    """Return every custom section called `name`, in file order. Raises MalformedModule."""
    return [section for section in sections(module) if section.name == name]


def debug_bytes(module: bytes) -> int:
    """Return the size of the custom sections with debug information (DWARF). Raises MalformedModule."""
    return sum(len(each.raw) for each in sections(module) if each.name is not None and each.name.startswith(".debug_"))


def custom_section(name: str, payload: bytes) -> bytes:
    """Return a custom section, with all integers in their shortest encoding."""
    label = name.encode()
    body = encode_u32(len(label)) + label + payload
    return bytes([SectionId.CUSTOM]) + encode_u32(len(body)) + body


def assemble(parts: Iterable[Section | bytes]) -> bytes:
    """Join unchanged parts to a module: sections of other modules, or raw bytes."""
    return MODULE_HEADER + b"".join(part.raw if isinstance(part, Section) else part for part in parts)


def _section_at(module: bytes, start: int) -> Section:
    size, body = decode_u32(module, start + 1, section_start=start)
    end = body + size
    if end > len(module):
        raise MalformedModule(
            start, start, f"the section claims {size} bytes, the file ends {end - len(module)} bytes earlier"
        )
    name: str | None = None
    payload = body
    if module[start] == SectionId.CUSTOM:
        name, payload = _name_at(module, body, end, start)
    return Section(module[start], start, module[start:end], payload - start, name)


def _name_at(module: bytes, at: int, end: int, section_start: int) -> tuple[str, int]:
    """Return the name of the custom section with the body `module[at:end]`, and the offset after the name."""
    length, text = decode_u32(module[:end], at, section_start=section_start)
    if text + length > end:
        raise MalformedModule(at, section_start, "the name of a custom section runs past the section's end")
    try:
        return module[text : text + length].decode(), text + length
    except UnicodeDecodeError as error:
        raise MalformedModule(text + error.start, section_start, "the name of a custom section is not UTF-8") from error


class Body(msgspec.Struct, frozen=True):
    """The byte range of a function's body in a module: its locals, then its instructions."""

    function: int
    """Function index."""
    start: int
    end: int


def bodies(module: bytes) -> Iterator[Body]:
    """Iterate over the bodies of all functions, in order. Raises MalformedModule.

    Args:
        module: The module, which must import only functions, like guests.

    Yields:
        The bodies.
    """
    imported = 0
    for section in sections(module):
        if section.id == SectionId.IMPORT:
            imported, _ = decode_u32(section.payload, 0)
        if section.id == SectionId.CODE:
            count, at = decode_u32(module, section.offset + section.payload_at)
            for function in range(imported, imported + count):
                size, at = decode_u32(module, at)
                yield Body(function, at, at + size)
                at += size
