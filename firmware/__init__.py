"""The enclave kernel: the boot image, and its constants and symbols."""

from functools import cache
from importlib import resources

import msgspec


@cache
def image() -> bytes:
    """Return the kernel: an ELF64 file with a Multiboot2 header."""
    return resources.files(__name__).joinpath("aether.elf").read_bytes()


@cache
def _description() -> dict[str, dict[str, int]]:
    text = resources.files(__name__).joinpath("aether.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, dict[str, int]])


def layout() -> dict[str, int]:
    """Return the constants of layout.h by name: memory map, device registers, causes, status bits."""
    return _description()["layout"]


def symbols() -> dict[str, int]:
    """Return the linear address of every function, object and label of the kernel by name."""
    return _description()["symbols"]
