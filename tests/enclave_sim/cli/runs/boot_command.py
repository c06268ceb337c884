"""`enclave-sim boot` in a separate process, and small kernels for it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from enclave_sim.cli.app import app
from tests.machine.boot import images

HALT = bytes.fromhex("fa f4")
LOOP = bytes.fromhex("eb fe")
UD2 = bytes.fromhex("0f 0b")
PRINT_FOREVER = bytes.fromhex("66 ba f8 03 b0 41 ee eb fd")
"""movw $0x3F8, %dx; movb $'A', %al; then in a loop: outb %al, %dx."""


def say(text: bytes) -> bytes:
    """Code that sends text through COM1."""
    return bytes.fromhex("66 ba f8 03") + b"".join(b"\xb0" + bytes([char]) + b"\xee" for char in text)


def leave(value: int) -> bytes:
    """Code that writes to the debug exit device."""
    return b"\xb0" + bytes([value]) + bytes.fromhex("e6 f4 f4")


@dataclass(frozen=True)
class Ended:
    code: int
    output: bytes
    error: str


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "enclave_sim", "boot", *map(str, arguments)]


def boot(arguments: list[str]) -> int:
    """Run the command in this process. Return its exit code."""
    with pytest.raises(SystemExit) as ended:
        app.main(["boot", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def spawn(*arguments: str | Path) -> Ended:
    """Run the command as a process."""
    done = subprocess.run(command(*arguments), capture_output=True, check=False, timeout=300)
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def write(directory: Path, code: bytes, *, multiboot: int = 1) -> Path:
    path = directory / "kernel.elf"
    path.write_bytes(images.kernel1(code=code) if multiboot == 1 else images.kernel2(code=code))
    return path


def typed(data: bytes, *arguments: str | Path) -> Ended:
    done = subprocess.run(command(*arguments), input=data, capture_output=True, check=False, timeout=300)
    return Ended(done.returncode, done.stdout, done.stderr.decode())
