"""The enclave kernel: the boot image, its constants and symbols, and the words of its VMM."""

from functools import cache, lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path

import msgspec

PARTS = ("src", "vmm", "signatures")
"""The directories of the sources: the kernel proper, the resident VMM, the verification of signatures."""
NOTE_SECTION, NOTE_NAME, NOTE_TYPE = ".note.aether", b"Aether\0", 1
"""The section, the name and the type of the ELF note with an image's description."""


class Description(msgspec.Struct, frozen=True):
    """Description of a build, in its ELF note and in aether.json; firmware/build.py writes both."""

    version: str
    """The kernel's own version, from the file VERSION among its sources."""
    layout: dict[str, int]
    """The constants of layout.h."""
    reasons: list[str]
    """The words of each reason for which the resident VMM rejects a module, by its number; 0 is none."""
    checks: list[str]
    """The name of each check of a payload's signatures, by its number; 0 is none."""
    traps: list[tuple[str, str]]
    """The kind and the name of each trap that the resident VMM reports, by its number; 0 is none."""
    symbols: dict[str, int] = {}
    """Only in aether.json: an image has a symbol table."""


class Firmware(msgspec.Struct, frozen=True):
    """One build of the kernel. All builds have the layout of layout.h; two builds with the same image are equal."""

    image: bytes
    """The kernel: an ELF64 file with a Multiboot2 header."""
    symbols: dict[str, int]
    """The linear address of every function, object and label of the kernel by name."""
    description: Description
    path: Path = Path(__file__).parent / "aether.elf"
    """The file of the image. Debuggers look for the sources beside it, in `PARTS`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Firmware) and self.image == other.image

    def __hash__(self) -> int:
        return hash(self.image)

    def __repr__(self) -> str:
        return f"<Firmware {self.sha256[:16]}>"

    @property
    def sha256(self) -> str:
        """The SHA-256 of the image, in hexadecimal, by which recordings name it."""
        return _sha256(self.image)


@lru_cache(maxsize=4)
def _sha256(image: bytes) -> str:
    return sha256(image).hexdigest()


@cache
def built_in() -> Firmware:
    """Return the firmware that belongs to this package."""
    known = _description()
    image = resources.files(__name__).joinpath("aether.elf").read_bytes()
    return Firmware(image, known.symbols, known)


@cache
def _description() -> Description:
    text = resources.files(__name__).joinpath("aether.json").read_bytes()
    return msgspec.json.decode(text, type=Description)


def layout() -> dict[str, int]:
    """Return the constants of layout.h by name: memory map, device registers, causes, status bits."""
    return _description().layout
