"""Builds the native instruction hook: `python -m machine.native.build`.

For each host processor one blob: little-endian 32-bit offsets of `ENTRY_POINTS` from the start of the code, then the
code. The committed blobs equal a rebuild (there is a test).
"""

import io
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

from machine.errors import MachineError

ARCHITECTURES = ("x86_64", "aarch64")
ENTRY_POINTS = ("on_instruction", "on_interrupt", "on_invalid", "on_device_read")
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


def build(architecture: str) -> bytes:
    """Compile step_hook.c for a host processor and return the blob."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "step_hook.o"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl", *FLAGS]
        subprocess.run([*command, "-c", str(HERE / "step_hook.c"), "-o", str(output)], check=True)
        elf = ELFFile(io.BytesIO(output.read_bytes()))
    for name in (".rela.text", ".data", ".rodata", ".bss"):
        section = elf.get_section_by_name(name)
        if section is not None and section["sh_size"]:
            raise MachineError(f"the instruction hook must be pure code, but it has a {name} section")
    symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols()}
    code: bytes = elf.get_section_by_name(".text").data()
    return struct.pack("<4I", *[symbols[name] for name in ENTRY_POINTS]) + code


if __name__ == "__main__":
    for host in ARCHITECTURES:
        target = HERE / f"step_hook.{host}.bin"
        target.write_bytes(build(host))
        print(f"{target.name}: {target.stat().st_size} bytes")
