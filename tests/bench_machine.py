"""Start-up and computing speed of the machine alone: a part of `tests/bench.py`."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

from unicorn import UC_ARCH_X86, UC_MODE_64, Uc, x86_const

from enclave_sim.errors import KernelDied
from machine.boot import loader
from machine.machine import Machine, MachineConfiguration
from tests.bench_entries import CACHING, MEBIBYTE, Entry, alternate, entry, seconds

QEMU = shutil.which("qemu-system-x86_64")
_QEMU_OPTIONS = "-device isa-debug-exit,iobase=0xf4,iosize=4 -display none -nodefaults -accel tcg".split()


def small_kernel(samples: int) -> list[Entry]:
    """A Multiboot 1 kernel that only exits through isa-debug-exit, compared with QEMU's complete run of it."""
    if QEMU is None:
        print("QEMU is not installed, so there is nothing to compare with;", end=" ", file=sys.stderr)
        return []
    image = small_kernel_image()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "kernel.elf")
        with open(path, "wb") as file:
            file.write(image)

        def spawn(*command: str) -> float:
            def whole() -> None:
                status = subprocess.run(command, check=False, env=CACHING).returncode
                if status != 85:
                    raise KernelDied(f"{command[0]} ended with {status}")

            return seconds(whole)

        def in_process() -> None:
            with open(path, "rb") as file:
                content = file.read()
            machine = Machine(MachineConfiguration(128 * MEBIBYTE))
            loader.load(machine, content)
            machine.run()
            if machine.debug_exit.status != 85:
                raise KernelDied("the kernel did not leave")

        ours, inside, imports, theirs = alternate(
            samples,
            lambda: spawn(sys.executable, "-m", "enclave_sim", "boot", path),
            lambda: seconds(in_process),
            lambda: seconds(lambda: subprocess.run([sys.executable, "-c", "import unicorn"], check=True, env=CACHING)),
            lambda: spawn(QEMU, "-kernel", path, *_QEMU_OPTIONS),
        )
    beside = ("process: qemu-system-x86_64 -kernel, same image, TCG, ms", theirs * 1e3)
    told = {"ms": round(ours * 1e3, 1), "ms_of_python_importing_unicorn": round(imports * 1e3, 1)}
    return [
        entry("boot_in_process", inside / theirs, "ratio", "<= 1.0", beside, samples, ms=round(inside * 1e3, 2)),
        entry("boot_process", ours / theirs, "ratio", "<= 1.25", beside, samples, **told),
    ]


def small_kernel_image() -> bytes:
    """movb $42, %al; outb %al, $0xF4; hlt - after a Multiboot 1 header, in an ELF32 file."""
    content = struct.pack("<3I", 0x1BADB002, 0, -0x1BADB002 & 0xFFFF_FFFF) + bytes.fromhex("b0 2a e6 f4 f4")
    base, headers = 0x10_0000, 52 + 32
    header = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 12, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    program = struct.pack("<8I", 1, headers, base, base, len(content), len(content), 5, 4096)
    return b"\x7fELF\1\1\1" + bytes(9) + header + program + content


def ring_0_loop(samples: int) -> Entry:
    """Five instructions repeated in ring 0 under a deadline, compared with the same loop in Unicorn without a clock."""
    loop = bytes.fromhex("48 01 c3 48 83 c3 01 48 ff c1 48 ff c8 75 f2".replace(" ", ""))
    count = 20_000_000

    def ours() -> float:
        machine = Machine(MachineConfiguration(16 * MEBIBYTE))
        loader.load(machine, small_kernel_image())
        machine.ram.write(0x20_0000, bytes.fromhex("b8ffffff7f 01c3 83c301 41 48 75f7".replace(" ", "")))
        machine.cpu.write_register("RIP", 0x20_0000)
        elapsed = seconds(lambda: machine.run(machine.clock.now_ns + count))
        if machine.clock.now_ns != count:
            raise KernelDied("the clock is not exact")
        return count / elapsed / 1e6

    def bare() -> float:
        uc = Uc(UC_ARCH_X86, UC_MODE_64)
        uc.mem_map(0x1000, 4096)
        uc.mem_write(0x1000, loop)
        uc.reg_write(x86_const.UC_X86_REG_RAX, count // 5)
        return count / seconds(lambda: uc.emu_start(0x1000, 0x1000 + len(loop))) / 1e6

    value, reference = alternate(samples, ours, bare)
    what = "a like loop in Unicorn alone, no clock, M instructions/s"
    return entry("ring-0 loop, exact clock", value, "M instructions/s", ">= 20", (what, reference), samples)
