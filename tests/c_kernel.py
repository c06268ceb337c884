"""A 32-bit kernel in C, with debug information: it adds the squares of the numbers below five."""

import subprocess
import sys
from pathlib import Path

_SOURCE = """
unsigned volatile result, count = 5;
__attribute__((noinline)) unsigned first(unsigned n) {
    unsigned sum = 0;
    for (unsigned i = 0; i < n; i++) sum += i * i;
    return sum;
}
__asm__(".text; .globl _start; _start: mov $0x180000, %esp; jmp main");
void main(void) {
    result = first(count);
    for (;;) __asm__ volatile("hlt");
}
__attribute__((section(".multiboot"), used)) unsigned const header[3] = {0x1BADB002, 0, -0x1BADB002};
"""


_SCRIPT = """
ENTRY(_start)
SECTIONS { . = 1M; .text : { KEEP(*(.multiboot)) *(.text*) } .data : { *(.data*) *(.bss*) } }
"""


def compiled(directory: Path, *flags: str) -> Path:
    """The image, beside its source `kernel.c`."""
    source, script, image = directory / "kernel.c", directory / "link.ld", directory / "kernel.elf"
    source.write_text(_SOURCE)
    script.write_text(_SCRIPT)
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86-freestanding", "-nostdlib", "-static", "-O1"]
    compiler += ["-g", "-fno-sanitize=all", "-Wno-main", f"-Wl,-T,{script}", "-Wl,--build-id=none", *flags]
    subprocess.run([*compiler, "-o", str(image), str(source)], check=True, capture_output=True)
    return image
