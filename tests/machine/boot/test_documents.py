"""The kernel in docs/boot.md can be built and does what the page says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "boot.md").read_text()
QEMU = shutil.which("qemu-system-x86_64")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the kernel that the page describes."""
    directory = tmp_path_factory.mktemp("kernel")
    for language, name in (("asm", "kernel.S"), ("ld", "link.ld")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
        (directory / name).write_text(block)
    (command,) = re.findall(r"^python (-m ziglang .*)$", PAGE, re.M)
    subprocess.run([sys.executable, *command.split()], cwd=directory, check=True)
    return directory


def test_the_kernel_says_what_the_page_says(built: Path) -> None:
    command = [sys.executable, "-m", "enclave_sim", "boot", "kernel.elf", "--append", "world"]
    done = subprocess.run(command, cwd=built, capture_output=True, check=False, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello, world", b"", 1)
    assert "It prints `Hello, world`, and the exit code is 1." in PAGE


@pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
def test_qemu_says_the_same(built: Path) -> None:
    command = [str(QEMU), *"-kernel kernel.elf -append world -serial stdio -display none -accel tcg".split()]
    command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    done = subprocess.run(command, cwd=built, capture_output=True, check=False, timeout=300)
    assert (done.stdout, done.returncode) == (b"Hello, kernel.elf world", 1)


def test_the_python_program_runs(built: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    done = subprocess.run([sys.executable, "-c", program], cwd=built, capture_output=True, text=True, check=True)
    assert done.stdout == "Outcome.STOPPED 1 bytearray(b'Hello, Python')\n"
