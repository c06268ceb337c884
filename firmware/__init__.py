"""The enclave kernel: the boot image, its constants and symbols, and the words of its VMM."""

from functools import cache
from importlib import resources

import msgspec


class _Description(msgspec.Struct, frozen=True):
    """The content of aether.json; firmware/build.py writes it."""

    layout: dict[str, int]
    symbols: dict[str, int]
    reasons: list[str]
    checks: list[str]
    traps: list[tuple[str, str]]


@cache
def image() -> bytes:
    """Return the kernel: an ELF64 file with a Multiboot2 header."""
    return resources.files(__name__).joinpath("aether.elf").read_bytes()


@cache
def _description() -> _Description:
    text = resources.files(__name__).joinpath("aether.json").read_bytes()
    return msgspec.json.decode(text, type=_Description)


def layout() -> dict[str, int]:
    """Return the constants of layout.h by name: memory map, device registers, causes, status bits."""
    return _description().layout


def symbols() -> dict[str, int]:
    """Return the linear address of every function, object and label of the kernel by name."""
    return _description().symbols


def reasons() -> list[str]:
    """Return the words of each reason for which the resident VMM rejects a module, by its number; 0 is none."""
    return _description().reasons


def checks() -> list[str]:
    """Return the name of each check of a payload's signatures, by its number; 0 is none."""
    return _description().checks


def traps() -> list[tuple[str, str]]:
    """Return the kind and the name of each trap that the resident VMM reports, by its number; 0 is none."""
    return _description().traps
