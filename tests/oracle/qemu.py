"""The other machine: runs an image under GRUB 2 on QEMU, and reads QEMU's log.

GRUB is built as a Linux-protocol image that QEMU loads with `-kernel`; it contains kernel and modules in a tar archive,
so no disk image is needed. Virtual time advances 32 ns an instruction (`-icount shift=5`) and skips idle time
(`sleep=off`), so whole logs repeat exactly.
"""

import json
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.oracle.image import Image
from tests.oracle.records import PF, End, Record, Run, normalised

RAM_SIZE = 64 << 20
NS_PER_INSTRUCTION = 32
CPU_MODEL = (
    "qemu64,vendor=GenuineIntel,-svm,+smep,+smap,+umip,+rdtscp,+fsgsbase,+pdpe1gb,+pclmulqdq,+ssse3,+sse4.1,+sse4.2,"
    "+movbe,+popcnt,+aes,+abm,+bmi1,+bmi2,+adx,+erms"
)
"""The features of machine/architecture/cpuid.py, so that both machines have the same instructions."""
_GRUB_MODULES = Path("/usr/lib/grub/i386-pc")
_SHIFT = NS_PER_INSTRUCTION.bit_length() - 1
_LINE = re.compile(
    r"^ *\d+: v=(?P<vector>[0-9a-f]+) e=(?P<error>[0-9a-f]+) i=(?P<software>[01]) cpl=(?P<ring>\d)"
    r" IP=[0-9a-f]+:(?P<rip>[0-9a-f]+) .*?(?:CR2=(?P<cr2>[0-9a-f]+))?$",
    re.MULTILINE,
)
_TRIPLE_FAULT = "\nTriple fault\n"
_CORE_LIMIT = 480 << 10
_POLL_SECONDS = 0.05


class QemuError(Exception):
    """GRUB or QEMU could not run the image: gives the command and its output."""


def missing() -> str | None:
    """Return in one line what is not installed; None if the oracle can run."""
    tools = [tool for tool in ("qemu-system-x86_64", "grub-mkimage") if shutil.which(tool) is None]
    if not tools and not (_GRUB_MODULES / "lnxboot.img").exists():
        tools = ["grub-pc-bin"]
    return f"the oracle needs {' and '.join(tools)}: `make oracle` installs them" if tools else None


def run(image: Image, *, memory: bool = False, timeout: float = 300, options: tuple[str, ...] = ()) -> Run:
    """Boot an image and wait until it leaves by the debug-exit device or a triple fault.

    With `memory`, wait also for HLT with interrupts disabled, and return all of RAM unless it left by debug exit.
    `options` are further arguments of QEMU. Raises QemuError if GRUB or QEMU fails or time (seconds) runs out.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        kernel = _boot_image(image, work)
        # -no-shutdown keeps QEMU and its memory after a triple fault.
        monitor = ["-qmp", f"unix:{work}/qmp,server=on,wait=off", "-no-shutdown"] if memory else []
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", CPU_MODEL, "-m", str(RAM_SIZE >> 20)]
        command += "-display none -nodefaults -vga none -net none -no-reboot".split()
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-serial", f"file:{work}/serial"]
        command += ["-rtc", "base=2020-01-01,clock=vm", "-icount", f"shift={_SHIFT},sleep=off"]
        command += ["-kernel", str(kernel), "-d", "int,cpu_reset", "-D", f"{work}/log", *monitor, *options]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                content = _wait_and_dump(process, work, timeout) if memory else None
                _, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                last = (work / "serial").read_bytes()[-200:]
                raise QemuError(f"no end within {timeout} s; serial output ended with {last!r}") from None
            finally:
                process.kill()
        log = (work / "log").read_text(encoding="latin-1")
        serial = (work / "serial").read_bytes()
    status = process.returncode
    if (status < 0 and content is None) or not log:
        raise QemuError(f"QEMU ended with status {status}: {errors.strip()}")
    if status >= 0 and status & 1:
        return Run(serial, parse(log, image), "exit", status)
    end: End = "shutdown" if _TRIPLE_FAULT in log else "halted"
    return Run(serial, parse(log, image), end, None, content)


def parse(log: str, image: Image) -> tuple[Record, ...]:
    """The records of QEMU's `-d int` log from the first one inside the image on, without firmware and GRUB."""
    found: list[Record] = []
    for match in _LINE.finditer(log):
        rip = int(match["rip"], 16)
        if not found and not any(rip in addresses for addresses in image.ranges):
            continue
        vector, software = int(match["vector"], 16), match["software"] == "1"
        cr2 = int(match["cr2"], 16) if vector == PF and not software else None
        found.append(Record(vector, int(match["error"], 16), software, int(match["ring"]), rip, cr2))
    return normalised(tuple(found))


def _boot_image(image: Image, work: Path) -> Path:
    """GRUB with the image in its memory disk, as a file for `-kernel`."""
    files = {"kernel": image.elf} | {f"module{i}": content for i, (_, content) in enumerate(image.modules)}
    with tarfile.open(work / "disk.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            (work / name).write_bytes(content)
            archive.add(work / name, name)
    two = "2" if image.protocol == "multiboot2" else ""
    script = f"multiboot{two} (memdisk)/kernel {image.command_line}\n"
    for index, (command, _) in enumerate(image.modules):
        script += f"module{two} (memdisk)/module{index} {command}\n"
    (work / "early.cfg").write_text(script + "boot\n")
    make = ["grub-mkimage", "-O", "i386-pc", "-p", "(memdisk)", "-m", str(work / "disk.tar")]
    make += ["-c", str(work / "early.cfg"), "-o", str(work / "core.img"), "memdisk", "tar", f"multiboot{two}"]
    made = subprocess.run(make, check=False, capture_output=True, text=True)
    if made.returncode:
        raise QemuError(f"grub-mkimage failed: {made.stderr.strip()}")
    core = (work / "core.img").read_bytes()
    if len(core) > _CORE_LIMIT:
        raise QemuError(f"GRUB with kernel and modules takes {len(core)} bytes; at most {_CORE_LIMIT} can be booted")
    kernel = work / "grub.bin"
    kernel.write_bytes((_GRUB_MODULES / "lnxboot.img").read_bytes() + core)
    return kernel


# The monitor (QMP), only used if memory is wanted.


class _Monitor:
    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(300)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("r")
        self._lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Any:
        """The answer to a command. Raises QemuError if it is refused, ConnectionError if QEMU has exited."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while line := self._lines.readline():
            message = json.loads(line)
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise QemuError(f"QEMU refused {command}: {message['error']}")
        raise ConnectionError

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _wait_and_dump(process: "subprocess.Popen[str]", work: Path, timeout: float) -> bytes | None:
    """All of RAM once the processor is halted for good; None if QEMU has exited before."""
    end = time.monotonic() + timeout
    monitor = _connect(process, work / "qmp")
    if monitor is None:
        return None
    try:
        while not _dead(monitor):
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("qemu-system-x86_64", timeout)
            time.sleep(_POLL_SECONDS)
        monitor.ask("stop")
        monitor.ask("pmemsave", val=0, size=RAM_SIZE, filename=str(work / "memory"))
        process.kill()  # not `quit`, which would shut down a TPM that is still to be read
    except OSError:
        return None
    finally:
        monitor.close()
    return (work / "memory").read_bytes()


def _connect(process: "subprocess.Popen[str]", path: Path) -> _Monitor | None:
    """The monitor, as soon as QEMU listens, which is slightly after its socket exists. None if QEMU has exited
    before."""
    while process.poll() is None:
        try:
            return _Monitor(path)
        except OSError:
            time.sleep(_POLL_SECONDS)
    return None


def _dead(monitor: _Monitor) -> bool:
    """Whether the processor is shut down, or halted with interrupts disabled."""
    if monitor.ask("query-status")["status"] == "shutdown":
        return True
    text = monitor.ask("human-monitor-command", **{"command-line": "info registers"})
    flags = re.search(r"R?E?FL=([0-9a-f]+)", text)
    return "HLT=1" in text and flags is not None and not int(flags[1], 16) & 0x200
