"""The VGA registers left by firmware, compared with those left by SeaBIOS on QEMU."""

import shutil
import subprocess
from pathlib import Path

import pytest

from machine.boot import loader
from machine.machine import Machine, MachineConfiguration
from tests.machine.boot import images

QEMU = shutil.which("qemu-system-x86_64")
CURSOR = (0x0E, 0x0F)
"""The location of the cursor: SeaBIOS leaves it after its own text."""
_SEND = bytes.fromhex("66 ba f8 03 ee")
"""movw $0x3F8, %dx; outb %al, %dx."""


def _to(port: int) -> bytes:
    return b"\x66\xba" + port.to_bytes(2, "little")


def send_indexed(port: int, count: int) -> bytes:
    """Code that sends the registers of an index port."""
    return b"".join(_to(port) + b"\xb0" + bytes([index]) + b"\xee\x42\xec" + _SEND for index in range(count))


SEND_ATTRIBUTES = b"".join(
    _to(0x3DA) + b"\xec" + _to(0x3C0) + b"\xb0" + bytes([index]) + b"\xee\x42\xec" + _SEND for index in range(0x15)
)
SEND_PALETTE = _to(0x3C7) + b"\xb0\x00\xee" + (_to(0x3C9) + b"\xec" + _SEND) * 192
ALL = b"".join(
    (
        *(send_indexed(0x3D4, 0x19), send_indexed(0x3C4, 5), send_indexed(0x3CE, 9), _to(0x3CC) + b"\xec" + _SEND),
        *(SEND_ATTRIBUTES, SEND_PALETTE, images.CODE),
    )
)


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
def test_mode_3_is_that_of_firmware_on_qemu(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(images.kernel1(code=ALL))
    command = [str(QEMU), "-kernel", str(kernel), "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-accel", "tcg"]
    command += ["-display", "none", "-nodefaults", "-vga", "std", "-serial", "stdio"]
    theirs = bytearray(subprocess.run(command, check=False, timeout=300, capture_output=True).stdout)
    machine = Machine(MachineConfiguration(16 << 20, display=True))
    loader.load(machine, kernel.read_bytes())
    machine.run(100_000)
    assert len(theirs) == 0x19 + 5 + 9 + 1 + 0x15 + 192
    for index in CURSOR:
        theirs[index] = 0
    assert machine.uart.transmitted == theirs
