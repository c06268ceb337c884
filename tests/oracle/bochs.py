"""The third machine: runs an image on Bochs, started in the state that our boot loader leaves.

There is no BIOS, no boot loader and no disk: a ROM of ours holds the RAM content that machine.boot made, copies it to
RAM, enters protected mode and jumps to the image. So a run takes half a second, and modules may have a megabyte.
Debian's Bochs has its debugger; breakpoints end a run, and the debugger writes memory to a file. Bochs's only clock is
its instruction count, which drives its local APIC, so time is not compared.
"""

import os
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from itertools import accumulate
from pathlib import Path

from machine.machine import Machine
from tests.oracle import ours
from tests.oracle.image import Image, build
from tests.oracle.qemu import RAM_SIZE
from tests.oracle.records import End, Run

HERE = Path(__file__).parent
_ROM_SIZE, _CODE_SIZE, _CODE_BASE = 2 << 20, 64 << 10, 0xFFFF_0000
_TERMINAL = Path("/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so")
_CONFIGURATION = """\
display_library: term
romimage: file={work}/rom, address={rom:#x}
vgaromimage: file={work}/video
megs: {megabytes}
cpu: model=bx_generic, count=1, ips=1000000, reset_on_triple_fault=0, ignore_bad_msrs=0
cpuid: level=6, vendor_string="GenuineIntel", x86_64=1, mmx=1, sep=1, simd=avx2, xsave=1, aes=1, movbe=1, adx=1
cpuid: bmi=bmi2, apic=xapic, fsgsbase=1, smep=1, smap=1, 1g_pages=1, pcid=0, mwait=0
com1: enabled=1, mode=file, dev={work}/serial
log: {work}/log
panic: action=fatal
clock: sync=none, time0=1
"""
_SHUT_DOWN = "3rd ("
_PANIC = ">>PANIC<<"


class BochsError(Exception):
    """Bochs could not run the image: gives the command and its output."""


def missing() -> str | None:
    """Return in one line what is not installed; None if Bochs can run."""
    tools = [tool for tool in ("bochs", "script") if shutil.which(tool) is None]
    if not tools and not _TERMINAL.exists():
        tools = ["bochs-term"]
    return f"the third witness needs {' and '.join(tools)}: `make oracle` installs them" if tools else None


def run(image: Image, until: str, *, memory: tuple[range, ...] = (), mapped_at: int = 0, timeout: float = 300) -> Run:
    """Run an image until it is about to execute the instruction at the symbol `until`, or shuts down.

    The end is `halted` or `shutdown`; there are no records. With `memory`, all of RAM is returned, zero outside these
    physical ranges, which the image sees from `mapped_at` on. Raises BochsError if Bochs fails or time (seconds) runs
    out.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        reads = [f'writemem "{work}/memory{r.start}" {mapped_at + r.start:#x} {len(r):#x}' for r in memory]
        _prepare(image, [f"pb {image.symbols[until]:#x}", "c", *reads, "q"], work)
        command = ["script", "-qec", f"bochs -q -f {work}/bochsrc -rc {work}/commands", "/dev/null"]
        environment = {**os.environ, "TERM": "xterm"}
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            last = (work / "serial").read_bytes()[-200:]
            raise BochsError(f"no end within {timeout} s; serial output ended with {last!r}") from None
        log = (work / "log").read_text(encoding="latin-1") if (work / "log").exists() else ""
        serial = (work / "serial").read_bytes()
        parts = {r: work / f"memory{r.start}" for r in memory}
        content = {r.start: part.read_bytes() for r, part in parts.items() if part.exists()}
    panics = [line for line in log.splitlines() if _PANIC in line]
    end: End = "shutdown" if any(_SHUT_DOWN in line for line in panics) else "halted"
    if end == "halted" and (panics or len(content) != len(memory)):
        raise BochsError("\n".join(panics) or log[-500:])
    return Run(serial, (), end, None, _ram(content) if memory else None)


def _ram(content: dict[int, bytes]) -> bytes:
    found = bytearray(RAM_SIZE)
    for base, data in content.items():
        found[base : base + len(data)] = data
    return bytes(found)


def _prepare(image: Image, commands: list[str], work: Path) -> None:
    """Write all files that Bochs reads."""
    machine, _ = ours.start(image)
    (work / "rom").write_bytes(_rom(machine))
    video = bytearray(512)
    video[:4] = b"\x55\xaa\x01\xcb"  # an option ROM that returns at once; its bytes add up to 0
    video[-1] = -sum(video) & 0xFF
    (work / "video").write_bytes(video)
    (work / "serial").touch()
    (work / "commands").write_text("\n".join([*commands, ""]))
    text = _CONFIGURATION.format(work=work, rom=(1 << 32) - _ROM_SIZE, megabytes=RAM_SIZE >> 20)
    (work / "bochsrc").write_text(text)


def _rom(machine: Machine) -> bytes:
    """The content of RAM, a table of its destinations, and the code at the reset vector, which copies it."""
    elf, ram, state = _reset(), machine.ram, machine.cpu.registers
    content = bytearray(_ROM_SIZE)
    code = _ROM_SIZE - _CODE_SIZE
    content[code:] = elf.elf[elf.offset(_CODE_BASE) :][:_CODE_SIZE]
    runs = ram.image().runs
    at = sum(len(data) for _, data in runs)
    end = at + 12 * (len(runs) + 1)
    if end > code:
        raise BochsError(f"the image takes {end} bytes; at most {code} fit beside the reset code")
    sources = accumulate((len(data) for _, data in runs), initial=(1 << 32) - _ROM_SIZE)
    table = [struct.pack("<3I", source, base, len(data)) for source, (base, data) in zip(sources, runs, strict=False)]
    content[:at] = b"".join(data for _, data in runs)
    content[at:end] = b"".join([*table, bytes(12)])
    start = struct.pack("<4I", (1 << 32) - _ROM_SIZE + at, state.rax, state.rbx, state.rip)
    at = code + elf.symbols["start"] - _CODE_BASE
    content[at : at + len(start)] = start
    return bytes(content)


@cache
def _reset() -> Image:
    return Image(build([HERE / "bochs_reset.S"], HERE / "bochs_reset.ld", ["-target", "x86-freestanding-none"]))
