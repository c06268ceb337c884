"""Builds the native hooks: `python -m machine.processor.native.build`.

Each source has one blob per host processor: little-endian 32-bit offsets of its `ENTRY_POINTS` from the start of the
code, then the code. A test compares the committed blobs with a rebuild.
"""

import io
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile

from machine.errors import MachineError
from machine.processor.native.loading import ENTRY_POINTS

ARCHITECTURES = ("x86_64", "aarch64")
HERE = Path(__file__).parent
FLAGS = [
    "-O2",
    "-ffreestanding",
    "-fPIC",
    "-fomit-frame-pointer",
    "-fno-stack-protector",
    "-fno-sanitize=all",
    "-fno-jump-tables",
    "-fno-vectorize",
    "-fno-slp-vectorize",
    "-fno-asynchronous-unwind-tables",
    "-g0",
    "-Wall",
    "-Wextra",
    "-Werror",
]


def build(source: Path, entries: Sequence[str], architecture: str) -> bytes:
    """Compile a source for a host processor.

    Args:
        source: The file in C.
        entries: The functions whose offsets begin the blob.
        architecture: One of `ARCHITECTURES`.

    Returns:
        The blob.

    Raises:
        MachineError: The source is not pure code.
    """
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "hook.o"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl", *FLAGS]
        subprocess.run([*command, "-c", str(source), "-o", str(output)], check=True)
        elf = ELFFile(io.BytesIO(output.read_bytes()))
    for name in (".rela.text", ".data", ".rodata", ".bss"):
        section = elf.get_section_by_name(name)
        if section is not None and section["sh_size"]:
            raise MachineError(f"{source.name} must be pure code, but it has a {name} section")
    symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols()}
    code: bytes = elf.get_section_by_name(".text").data()
    return struct.pack(f"<{len(entries)}I", *[symbols[name] for name in entries]) + code


def write(directory: Path, sources: Mapping[str, Sequence[str]]) -> None:
    """Build sources of a directory, given with their entry points, beside them for each host processor."""
    for source, entries in sources.items():
        for host in ARCHITECTURES:
            target = directory / f"{source}.{host}.bin"
            target.write_bytes(build(directory / f"{source}.c", entries, host))
            print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    write(HERE, ENTRY_POINTS)
