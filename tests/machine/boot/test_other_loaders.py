"""Our test images against independent loaders: QEMU's Multiboot 1 loader and GRUB's checks."""

import shutil
import subprocess
from pathlib import Path

import pytest

import firmware
from machine.boot import loader
from machine.machine import Machine, MachineConfiguration
from tests.machine.boot import images

QEMU, GRUB_FILE = shutil.which("qemu-system-x86_64"), shutil.which("grub-file")
FLAT = images.header1(1 << 16, images.BASE, images.BASE, 0, 0, images.BASE + 32) + images.CODE
VIDEO = images.kernel1(4, *[0] * 6, 1024, 768, 32)


@pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
@pytest.mark.parametrize(
    "image", [images.kernel1(), images.kernel1(3), VIDEO, FLAT], ids=["plain", "3", "video", "flat"]
)
def test_qemu_and_this_machine_agree_on_a_multiboot_1_kernel(tmp_path: Path, image: bytes) -> None:
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(image)
    command = [str(QEMU), "-kernel", str(kernel), "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    command += ["-display", "none", "-nodefaults", "-accel", "tcg"]
    theirs = subprocess.run(command, check=False, timeout=300, capture_output=True).returncode
    machine = Machine(MachineConfiguration(16 << 20))
    loader.load(machine, image)
    machine.run(1000)
    assert machine.debug_exit.status == theirs == images.EXIT_STATUS


@pytest.mark.skipif(GRUB_FILE is None, reason="GRUB is not installed")
@pytest.mark.parametrize(
    ("image", "version"),
    [
        (images.kernel1(), "multiboot"),
        (images.kernel1(bits=64), "multiboot"),
        (FLAT, "multiboot"),
        (images.kernel2(), "multiboot2"),
        (images.kernel2(bits=32), "multiboot2"),
        (firmware.built_in().image, "multiboot2"),
    ],
    ids=[
        "ELF32",
        "ELF64",
        "flat",
        "ELF64 2",
        "ELF32 2",
        "the enclave's kernel",
    ],  # the test's name is in the environment
)
def test_grub_takes_the_images_for_what_they_are(tmp_path: Path, image: bytes, version: str) -> None:
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(image)

    def is_for(kind: str) -> bool:
        return subprocess.run([str(GRUB_FILE), f"--is-x86-{kind}", kernel], check=False).returncode == 0

    assert [kind for kind in ("multiboot", "multiboot2") if is_for(kind)] == [version]
