"""Builds the kernel: `python -m firmware.build`.

Writes `aether.elf`, the image that boots, and `aether.json`: the constants of layout.h, the addresses of symbols, the
VMM's reasons and traps, and the checks of signatures, for Python code that reads the machine's memory. Both are
committed; a test compares them with a rebuild. Debug information has line numbers, so adding or removing a line of a
source, even a comment, changes the image.
"""

import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from firmware import NOTE_NAME, NOTE_SECTION, NOTE_TYPE

HERE = Path(__file__).parent
SOURCES = HERE / "src"
COMPILER = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-freestanding-none"]
GENERAL_REGISTERS = "-mcpu=x86_64-mmx-sse-sse2-x87+soft_float"
"""No vector registers and no x87: zig ignores clang's -mgeneral-regs-only."""
FLAGS = [
    "-std=c17",
    "-O2",
    "-g",
    "-gdwarf-4",
    "-ffreestanding",
    "-fno-pic",
    "-mno-red-zone",
    "-fno-stack-protector",
    "-fno-sanitize=all",
    "-fno-asynchronous-unwind-tables",
    "-fforce-dwarf-frame",
    "-fno-builtin",
    "-fno-jump-tables",
    "-fdata-sections",
    "-Wall",
    "-Wextra",
    "-Werror",
]
VMM = HERE / "vmm"
"""The resident virtual machine monitor."""
INTERPRETER = "interpreter.c"
"""The file of the VMM that is executed in ring 3. It alone uses vector registers."""
INTERPRETER_FLAGS = [
    *FLAGS,
    "-ffp-contract=off",
    "-fomit-frame-pointer",  # the handlers use every register
    "-fno-vectorize",
    "-fno-slp-vectorize",
    "-fno-unroll-loops",
]
SIGNATURES = HERE / "signatures"
"""The verification of payloads' signatures."""
ALGORITHMS = "algorithms.zig"
"""Its file with the algorithms, which are the Zig standard library's."""
ALGORITHMS_TARGET = ["-target", "x86_64-freestanding-none", GENERAL_REGISTERS]
HANDLERS = ("irq_entry", "exception_entry", "interrupt_stubs")
"""Handlers of interrupts and exceptions, whose caller's stack may be at lower addresses."""
LINK = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096"]


class BuildError(Exception):
    """The sources do not build; the compiler has said why on standard error."""


def _compiled(what: str, command: Sequence[str], **settings: Any) -> "subprocess.CompletedProcess[Any]":
    """Run the compiler. Raises BuildError, which says that `what` does not build."""
    try:
        return subprocess.run(command, check=True, **settings)
    except subprocess.CalledProcessError:
        raise BuildError(f"{what} does not build") from None


def build(
    sources: Path = SOURCES, monitor: Path = VMM, signatures: Path = SIGNATURES, kept: Path | None = None
) -> tuple[bytes, str]:
    """Compile and link the kernel's sources with those of the VMM and of the verification of signatures.

    Args:
        sources: The directory of the kernel's sources, absolute.
        monitor: The directory of the VMM's, absolute.
        signatures: The directory of those that verify signatures, absolute.
        kept: A directory for compiled files, so that another build compiles only files that are different, or all if a
            header is. None to compile everything.

    Returns:
        The image and the text of its description.

    Raises:
        BuildError: They do not build.
        OSError: A source is missing.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        places = [
            f"-ffile-prefix-map={sources}=/firmware",
            f"-ffile-prefix-map={monitor}=/firmware/vmm",
            f"-ffile-prefix-map={signatures}=/firmware/signatures",
            f"-I{monitor}",
            f"-I{signatures}",
        ]
        objects = []
        prefixes = {sources: "", monitor: "vmm-", signatures: "signatures-"}
        headers = b"".join(path.read_bytes() for one in prefixes for path in sorted(one.glob("*.h")))
        for source in [
            *sorted([*sources.glob("*.S"), *sources.glob("*.c")]),
            *sorted(monitor.glob("*.c")),
            *sorted(signatures.glob("*.c")),
        ]:
            is_plain = source.suffix == ".c" and source != monitor / INTERPRETER
            flags = [*FLAGS, GENERAL_REGISTERS] if is_plain else INTERPRETER_FLAGS
            target = work / f"{prefixes[source.parent]}{source.name}.o"
            # Compiled inside the directory, so that debug information contains no path of this computer.
            command = [*COMPILER, *flags, *places, "-c", source.name, "-o", str(target)]
            _compile(command, source, target, headers, kept)
            objects.append(str(target))
        algorithms = work / f"{ALGORITHMS}.o"
        _compile(_algorithms(algorithms, ALGORITHMS_TARGET), signatures / ALGORITHMS, algorithms, b"", kept)
        objects.append(str(algorithms))
        script = work / "link.ld"
        preprocess = [*COMPILER, "-E", "-P", "-x", "c", "link.ld"]
        script.write_bytes(_compiled("link.ld", preprocess, cwd=sources, stdout=subprocess.PIPE).stdout)
        said = {
            "version": (sources / "VERSION").read_text().strip(),
            "layout": _layout(sources),
            "reasons": ["", *_texts(monitor / "reasons.h", r'REASON\(\w+, \w+, "([^"]+)"\)')],
            "checks": ["", *_texts(signatures / "checks.h", r"CHECK\((?!name)(\w+)\)")],
            "traps": [["", ""], *_texts(monitor / "traps.h", r'TRAP_\(\w+, "([^"]+)", "([^"]+)"\)')],
        }
        objects.append(_note(said, work))
        image = work / "aether.elf"
        _compiled("the image", [*COMPILER, *LINK, f"-Wl,-T,{script}", *objects, "-o", str(image)])
        elf = _with_interrupts_marked(image.read_bytes())
    return elf, json.dumps(said | {"symbols": _symbols(elf)}, indent=1) + "\n"


def _note(description: dict[str, Any], work: Path) -> str:
    """Compile an ELF note that holds the description (System V ABI, chapter 5). Return the object file."""
    content, source, target = work / "note.json", work / "note.S", work / "note.o"
    content.write_text(json.dumps(description, separators=(",", ":")))
    name, size = NOTE_NAME.decode().rstrip("\0"), content.stat().st_size
    lines = (
        f'.section {NOTE_SECTION}, "", @note',
        f".long {len(NOTE_NAME)}, {size}, {NOTE_TYPE}",
        f'.asciz "{name}"',
        ".balign 4",
        '.incbin "note.json"',
        ".balign 4",
    )
    source.write_text("".join(f"{line}\n" for line in lines))
    _compiled("the note", [*COMPILER, "-c", source.name, "-o", str(target)], cwd=work)
    return str(target)


def compile_algorithms(output: Path, target: Sequence[str]) -> None:
    """Compile algorithms.zig to an object file for any target."""
    subprocess.run(_algorithms(output, target), cwd=SIGNATURES, check=True)


def _algorithms(output: Path, target: Sequence[str]) -> list[str]:
    """Return the command, which leaves out debug information: that would name files of this computer."""
    flags = ["-O", "ReleaseSmall", "-fstrip", "-fsingle-threaded", "-fno-stack-check", "-fno-unwind-tables"]
    return [sys.executable, "-m", "ziglang", "build-obj", ALGORITHMS, *flags, *target, f"-femit-bin={output}"]


def _compile(command: Sequence[str], source: Path, target: Path, headers: bytes, kept: Path | None) -> None:
    """Compile a file, unless its object file is kept."""
    if kept is None:
        _compiled(str(source), command, cwd=source.parent)
        return
    known = kept / sha256(b"\0".join([headers, target.name.encode(), source.read_bytes()])).hexdigest()
    if known.exists():
        shutil.copyfile(known, target)
    else:
        _compiled(str(source), command, cwd=source.parent)
        shutil.copyfile(target, known)


def _with_interrupts_marked(elf: bytes) -> bytes:
    """Give the frame information of interrupt handlers their common entry from frames.h."""
    section = ELFFile(io.BytesIO(elf)).get_section_by_name(".debug_frame")
    frames, symbols = bytearray(section.data()), _symbols(elf)
    handlers = {struct.pack("<Q", symbols[name]) for name in HANDLERS}
    common = frames.index(b"\xff\xff\xff\xff\x04S\0") - 4
    at = 0
    while at < len(frames):
        (length,) = struct.unpack_from("<I", frames, at)
        if bytes(frames[at + 8 : at + 16]) in handlers:
            struct.pack_into("<I", frames, at + 4, common)
        at += 4 + length
    start = section["sh_offset"]
    return elf[:start] + frames + elf[start + len(frames) :]


def _layout(sources: Path) -> dict[str, int]:
    """Return every constant of layout.h and devices.h: the preprocessor expands the names, Python computes them."""
    lines = [line for name in ("layout.h", "devices.h") for line in (sources / name).read_text().splitlines()]
    names = sorted(line.split()[1] for line in lines if line.startswith("#define") and len(line.split()) > 2)
    asked = '#include "layout.h"\n' + "".join(f'"{name}" {name}\n' for name in names)
    command = [*COMPILER, "-E", "-P", "-x", "c", "-I", str(sources), "-"]
    expanded = _compiled("layout.h", command, input=asked, stdout=subprocess.PIPE, text=True).stdout
    pairs = (line.split(" ", 1) for line in expanded.splitlines() if line.startswith('"'))
    return {name.strip('"'): int(eval(value, {"__builtins__": {}})) for name, value in pairs}


def _texts(header: Path, pattern: str) -> list[Any]:
    """Return the texts in each row of a header's table, in order."""
    return re.findall(pattern, header.read_text())


def _symbols(elf: bytes) -> dict[str, int]:
    table = ELFFile(io.BytesIO(elf)).get_section_by_name(".symtab")
    return {
        s.name: s["st_value"]
        for s in sorted(table.iter_symbols(), key=lambda s: (s["st_value"], s.name))
        if s.name
        and s["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE")
        and s["st_shndx"] not in ("SHN_ABS",)
    }


if __name__ == "__main__":
    image, description = build()
    (HERE / "aether.elf").write_bytes(image)
    (HERE / "aether.json").write_text(description)
    print(f"aether.elf: {len(image)} bytes")
