"""The host's own x87 unit as a witness: `host_x87.c`, built with the pinned ziglang and run in a child process."""

import platform
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

IS_X86_64 = sys.platform == "linux" and platform.machine() == "x86_64"
host_only = pytest.mark.skipif(not IS_X86_64, reason="compares with the host's x87 unit; the host is not x86-64 Linux")

_SOURCE = Path(__file__).with_name("host_x87.c")
_RECORD = struct.Struct("<15sBQQ108s4x128s")
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Case:
    """An instruction with its start state, or with its end state."""

    code: bytes
    image: bytes
    """In the format of FRSTOR in 64-bit mode."""
    memory: bytes = bytes(128)
    flags: int = 2
    rax: int = 0


def build(directory: Path) -> Path:
    """Compile the harness."""
    program = directory / "host_x87"
    options = ["-target", "x86_64-linux-musl", "-nostdlib", "-static", "-O1", "-ffreestanding", "-fno-stack-protector"]
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *options, "-o", program, _SOURCE], check=True)
    return program


def run(program: Path, cases: Sequence[Case]) -> list[Case]:
    """Execute each case."""
    stream = bytearray()
    for first in range(0, len(cases), _BATCH):
        batch = cases[first : first + _BATCH]
        stream += len(batch).to_bytes(4, "little")
        for case in batch:
            stream += _RECORD.pack(case.code, len(case.code), case.flags, case.rax, case.image, case.memory)
    output = subprocess.run([program], input=bytes(stream), stdout=subprocess.PIPE, check=True).stdout
    assert len(output) == len(cases) * _RECORD.size
    return [
        Case(code[:length], image, memory, flags, rax)
        for code, length, flags, rax, image, memory in _RECORD.iter_unpack(output)
    ]
