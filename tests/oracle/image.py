"""An image under test: building it with zig, and its symbols and segments."""

import io
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from elftools.elf.elffile import ELFFile

COMPILER = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-freestanding-none"]
LINK = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096"]
_PT_LOAD = "PT_LOAD"


@dataclass(frozen=True)
class Image:
    """A kernel and its boot modules. `modules` are pairs of command line and content."""

    elf: bytes = field(repr=False)
    command_line: str = ""
    modules: tuple[tuple[str, bytes], ...] = ()
    protocol: Literal["multiboot", "multiboot2"] = "multiboot2"

    @cached_property
    def ranges(self) -> list[range]:
        """The linear addresses that the image's segments take."""
        segments = ELFFile(io.BytesIO(self.elf)).iter_segments(_PT_LOAD)
        return [range(s["p_vaddr"], s["p_vaddr"] + s["p_memsz"]) for s in segments]

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Name and address of every symbol with a section, in order of address."""
        table = ELFFile(io.BytesIO(self.elf)).get_section_by_name(".symtab")
        found = [(s["st_value"], s.name) for s in table.iter_symbols() if s.name and s["st_shndx"] != "SHN_ABS"]
        return {name: address for address, name in sorted(found)}

    def offset(self, address: int) -> int:
        """The file offset of the byte at a linear address. Raises ValueError if it is in no segment."""
        for segment in ELFFile(io.BytesIO(self.elf)).iter_segments(_PT_LOAD):
            if 0 <= address - segment["p_vaddr"] < segment["p_filesz"]:
                return int(segment["p_offset"]) + address - int(segment["p_vaddr"])
        raise ValueError(f"{address:#x} is in none of the image's segments")

    def place(self, address: int) -> str:
        """An address as the nearest symbol at or below it and an offset, for messages."""
        if not any(address in found for found in self.ranges):
            return f"{address:#x}"
        below = [(value, name) for name, value in self.symbols.items() if value <= address]
        if not below:
            return f"{address:#x}"
        value, name = max(below)
        return f"{name}+{address - value:#x}"


def build(sources: Sequence[Path], script: Path, flags: Sequence[str] = ()) -> bytes:
    """Assemble, compile and link; returns the ELF image. Source directories are on the include path. Raises
    CalledProcessError, with zig's messages on standard error, if a source is wrong.
    """
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "image.elf"
        include = sorted({f"-I{source.parent}" for source in sources})
        command = [*COMPILER, *flags, *include, *LINK, f"-Wl,-T,{script}", *map(str, sources), "-o", str(output)]
        subprocess.run(command, check=True)
        return output.read_bytes()
