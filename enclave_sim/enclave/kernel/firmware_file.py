"""Firmware from a file: a build of the kernel, and its description.

An image has an ELF note (System V ABI, chapter 5) of type 1 by the name `Aether`. Its descriptor is JSON: the kernel's
version, the constants of layout.h, and the words of the VMM's reasons and traps.
Everything outside the kernel relies on these constants, so they must be those of this package.
"""

import struct
from pathlib import Path

import msgspec

from enclave_sim.enclave.kernel.elf_image import ElfImage
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import IMAGE, read_file
from enclave_sim.reasons import reason
from firmware import NOTE_NAME, NOTE_SECTION, NOTE_TYPE, Description, Firmware, layout
from machine.boot import elf
from machine.errors import MachineError

_LONGEST_VERSION = 40
_NOTE = struct.Struct("<III")
REQUIRED_SYMBOLS = (
    *("data_end", "event_log", "gate", "idle", "payload_count", "payloads", "status", "wake_reason"),
    *("annihilate", "host_call"),
)
"""Symbols by which the enclave's devices, guarantees and debuggers find their way in a kernel."""


def read_firmware(path: Path) -> Firmware:
    """Read a build of the kernel.

    Args:
        path: An ELF file made by `enclave-sim firmware build`.

    Returns:
        The firmware.

    Raises:
        ConfigurationError: The file cannot be read, is not a build of this kernel, or has another layout.
    """
    try:
        found = firmware_of(read_file(path, IMAGE))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not firmware for this program: {reason(error)}") from None
    return msgspec.structs.replace(found, path=path.absolute())


def firmware_of(image: bytes) -> Firmware:
    """Return the firmware in an image. Raises ValueError, in one line, if it is none with this package's layout."""
    try:
        elf.parse(image)
    except MachineError as error:
        raise ValueError(str(error)) from None
    known = ElfImage(image)
    described = _description(known.note(NOTE_SECTION))
    if not 1 <= len(described.version) <= _LONGEST_VERSION or not described.version.isprintable():
        raise ValueError(f"its version is not a line of 1 to {_LONGEST_VERSION} characters")
    _check_layout(described.layout)
    missing = [name for name in REQUIRED_SYMBOLS if name not in known.symbols]
    if missing:
        raise ValueError(f"it has no symbol {missing[0]!r}; link it with its symbols")
    return Firmware(image, known.symbols, described)


def _description(section: bytes) -> Description:
    """Return the description in the image's note."""
    if not section:
        raise ValueError(f"it has no note {NOTE_SECTION}; enclave-sim firmware build makes an image with one")
    try:
        name_bytes, size, kind = _NOTE.unpack_from(section)
        start = _NOTE.size + -(-name_bytes // 4) * 4
        if (section[_NOTE.size : _NOTE.size + name_bytes], kind) != (NOTE_NAME, NOTE_TYPE):
            raise ValueError(f"its note {NOTE_SECTION} is not one of an enclave's kernel")
        return msgspec.json.decode(section[start : start + size], type=Description)
    except (struct.error, msgspec.DecodeError):
        raise ValueError(f"its note {NOTE_SECTION} is damaged") from None


def _check_layout(found: dict[str, int]) -> None:
    """Raise ValueError unless the constants are this package's, and name the first that is not."""
    wanted = layout()
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found or name not in wanted:
            raise ValueError(f"its layout {'lacks' if name not in found else 'has an unknown'} {name}")
        if found[name] != wanted[name]:
            raise ValueError(f"its layout has {name} at {found[name]:#x}; this program needs {wanted[name]:#x}")
