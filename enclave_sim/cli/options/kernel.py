"""The options of the commands that run the user's own kernel. It imports little, since `boot` uses it.

All functions raise ConfigurationError for invalid texts and unreadable files.
"""

from enclave_sim.errors import ConfigurationError
from enclave_sim.files import reading

RAM = "128M"
"""The default size of memory."""
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_file(path: str) -> bytes:
    """Read a file that goes into the machine."""
    return reading.read_file(path, reading.IMAGE)


def module(text: str) -> tuple[bytes, str]:
    """Read `FILE[,TEXT]`: a file to load with the kernel, and its command line."""
    path, _, line = text.partition(",")
    return read_file(path), line


def named_file(text: str) -> tuple[str, bytes]:
    """Read `NAME=FILE`: a file for fw_cfg."""
    name, found, path = text.partition("=")
    if not found or not name:
        raise ConfigurationError(f"{text!r} is not NAME=FILE (such as opt/test=data.bin)")
    return name, read_file(path)


def size(text: str) -> int:
    """Parse a size of memory, with or without a unit. Return it in bytes."""
    unit = _UNITS.get(text[-1:].upper())
    try:
        count = int(text[:-1] if unit else text, 0) * (unit or 1)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a size (such as 64M, 1G or 134217728)") from None
    from machine.bus.bus import MMIO_BASE  # noqa: PLC0415
    from machine.bus.ram import PAGE_SIZE  # noqa: PLC0415

    if not 2 << 20 <= count <= MMIO_BASE or count % PAGE_SIZE:
        raise ConfigurationError(f"{text!r} is not from 2M to {MMIO_BASE >> 20}M in steps of {PAGE_SIZE} bytes")
    return count
