"""Information about the program in ring 0: symbols, source lines, regions of memory.

It is the enclave's kernel, or a kernel on the bare machine.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from enclave_sim.enclave.kernel.functions import Functions
from enclave_sim.enclave.kernel.source_lines import SourceLines
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import DOCUMENT, read_file
from enclave_sim.memory_map import Region, regions, rights
from firmware import PARTS, Firmware, built_in
from machine.boot.loader import Loaded

_SPAN = 0x1000
"""An address is named by a symbol up to this many bytes after it."""
_PF_X, _PF_W = 1, 2


@dataclass(frozen=True)
class Program:
    """A kernel. Nothing in it depends on a run."""

    name: str
    symbols: Mapping[str, int]
    """Linear addresses by name."""
    regions: tuple[Region, ...]
    """Regions of physical memory, in order."""
    sections: tuple[Region, ...]
    """Sections of linear memory, in order: they bound the symbols and mark code."""
    lines: SourceLines
    functions: Functions
    bits: int = 64
    """The word size of the image: 32 or 64."""

    def region_at(self, address: int) -> Region | None:
        """Return the region that holds a physical address."""
        return _holding(self.regions, address)

    def is_code(self, address: int) -> bool:
        """Return True if the kernel has instructions at a linear address."""
        found = _holding(self.sections, address)
        return found is not None and "x" in found.rights

    def symbol(self, address: int) -> str:
        """Return `name+0x12` for a linear address in the image or its data, or an empty string."""
        start = self.symbol_start(address)
        if start is None:
            return ""
        name = self._by_address[1][bisect_right(self._by_address[0], address) - 1]
        return f"{name}+{address - start:#x}" if address != start else name

    def symbol_start(self, address: int) -> int | None:
        """Return the linear address of the symbol for an address, or None."""
        addresses = self._by_address[0]
        index = bisect_right(addresses, address) - 1
        if index < 0 or address - addresses[index] > _SPAN:
            return None
        where = _holding(self.sections, address)
        return addresses[index] if where is not None and _holding(self.sections, addresses[index]) == where else None

    def place(self, address: int) -> str:
        """Return the symbol or region of an address, or an empty string."""
        found = self.symbol(address)
        where = None if found else self.region_at(address)
        return found if where is None else f"{where.name}+{address - where.base:#x}"

    @cached_property
    def _by_address(self) -> tuple[list[int], list[str]]:
        pairs = sorted((value, name) for name, value in self.symbols.items())
        return [value for value, _ in pairs], [name for _, name in pairs]


def _holding(among: tuple[Region, ...], address: int) -> Region | None:
    index = bisect_right(among, address, key=_base) - 1
    return among[index] if index >= 0 and address < among[index].end else None


def _base(one: Region) -> int:
    return one.base


def aether(kernel: Firmware | None = None) -> Program:
    """Return the enclave's kernel: the built-in firmware unless another one is given."""
    return _aether(kernel or built_in())


@lru_cache(maxsize=2)  # the built-in one, and another
def _aether(kernel: Firmware) -> Program:
    lines = SourceLines(kernel.image, lambda file, _path: _source(kernel, file))
    return Program("aether.elf", kernel.symbols, regions(), regions(), lines, Functions(kernel.image))


def _source(kernel: Firmware, file: str) -> str:
    """Return the text of one of the kernel's sources; empty if it is not there."""
    for path in (kernel.path.parent / directory / file for directory in PARTS):
        with suppress(ConfigurationError):
            return read_file(path, DOCUMENT).decode("utf-8", "replace")
    return ""


def program_of(name: str, image: bytes, loaded: Loaded) -> Program:
    """Return the program of an image; `name` is its path. Missing or damaged symbols are ignored."""
    from enclave_sim.enclave.kernel.elf_image import ElfImage  # noqa: PLC0415 - it loads pyelftools

    elf = ElfImage(image)
    places = tuple(sorted((one for one in _places(loaded) if one.size), key=_base))
    lines = SourceLines(image, _reader(Path(name).parent))
    return Program(name, elf.symbols, places, elf.sections or places, lines, Functions(image), elf.bits)


def _places(loaded: Loaded) -> Iterator[Region]:
    """Yield the ranges of RAM that the loader has filled."""
    for number, one in enumerate(loaded.executable.segments):
        granted = rights(bool(one.flags & _PF_W), bool(one.flags & _PF_X))
        yield Region(f"segment{number}", one.physical, one.memory_size, granted, 0, measured=False)
    yield Region("boot_information", *loaded.information, "r--", 0, measured=False)
    for number, (base, size) in enumerate(loaded.modules):
        yield Region(f"module{number}", base, size, "r--", 0, measured=False)


def _reader(directory: Path) -> Callable[[str, Path], str]:
    """Return a reader of source files: at the compiler's path, beside the image, or in `src` there."""

    def read(file: str, path: Path) -> str:
        for place in (path, directory / file, directory / "src" / file):
            with suppress(ConfigurationError):
                return read_file(place, DOCUMENT).decode("utf-8", "replace")
        return ""

    return read
