"""The VMM of the firmware in a child process of this host.

The same C as in the image, with the processor's exceptions as signals of Linux (harness.c). Modules run that nobody has
signed, so the child may die of a flaw in the VMM; that is reported as `Died`.
"""

import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import ziglang

import firmware
from firmware.build import FLAGS, INTERPRETER, INTERPRETER_FLAGS, VMM

KERNEL = Path(firmware.__file__).parent / "src"
HARNESS = Path(__file__).parent / "harness.c"
_HEADERS = Path(ziglang.__file__).parent / "lib" / "libc" / "include"
_ZIG = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-none", "-nostdlib", "-static", "-no-pie"]
_HARNESS_FLAGS = [
    *("-std=gnu17", "-O2", "-g", "-ffreestanding", "-fno-stack-protector", "-fno-sanitize=all", "-mno-red-zone"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-sign-compare"),
    *(f"-isystem{_HEADERS / name}" for name in ("x86-linux-any", "any-linux-any")),
]
_REMOVABLE = [
    "-DHOLDS(condition)=((condition)||removed(__FILE_NAME__,__LINE__))",
    "-include",
    str(HARNESS.with_name("removed.h")),
]
STATUS = 0x8000_001F
"""The answer to every host call."""
ARENA_BYTES = 8 << 20

_VALIDATE, _RUN, _TIME = 1, 2, 3
_REQUEST, _VERDICT = struct.Struct("<5I24s"), struct.Struct("<4I")
_EVENT, _TIMES = struct.Struct("<3I32s"), struct.Struct("<2Q")
_REASON = re.compile(r'REASON\((\w+), (\w+), "([^"]+)"\)')


class Reason(NamedTuple):
    """A reason to reject a module, as reasons.h has it."""

    kind: str
    name: str
    words: str


class Verdict(NamedTuple):
    """The result of validation: the reason is None for a valid module."""

    reason: Reason | None
    offset: int
    arena_used: int
    branches: int


class Event(NamedTuple):
    """A host call or the end of a run, with the SHA-256 of all globals and of the linear memory."""

    record: str
    """C: host call; R: returned; T: trapped."""
    kind: int
    """The number of the host call, or the kind of trap."""
    argument: int
    digest: bytes


TRAPS = ("", "memory", "stack", "illegal", "divide", "hangs")


class Died(Exception):  # noqa: N818 - says what happened
    """The child ended, so the VMM has a flaw. The exit code is 4 for a fault in ring 0, 5 for one in ring 3."""


@cache
def reasons() -> tuple[Reason | None, ...]:
    """Return every reason by its number. There is none for 0."""
    return None, *(Reason(*found) for found in _REASON.findall((VMM / "reasons.h").read_text()))


def _flags(file: Path) -> list[str]:
    if file == HARNESS:
        return _HARNESS_FLAGS
    return INTERPRETER_FLAGS if file.name == INTERPRETER else FLAGS


def build(program: Path, extra: Iterable[str] = (), compiler: Sequence[str] = _ZIG) -> Path:
    """Compile the VMM, each file with the flags of its ring, and the harness. Return the program."""
    objects = []
    for file in [*sorted(VMM.glob("*.c")), HARNESS, KERNEL / "sha256.c"]:
        objects.append(program.with_name(f"{program.name}-{file.name}.o"))
        command = [*compiler, *_flags(file), *extra, f"-I{VMM}", "-c", str(file), "-o", str(objects[-1])]
        subprocess.run(command, check=True)
    subprocess.run([*compiler, *map(str, objects), "-o", str(program)], check=True)
    return program


@cache
def _workplace() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()


@cache
def program() -> Path:
    """Return the harness, built at first use."""
    return build(Path(_workplace().name) / "harness")


@cache
def removable_program() -> Path:
    """Return a harness in which one check of the validator can be removed."""
    return build(Path(_workplace().name) / "removable", _REMOVABLE)


@dataclass
class Harness:
    """A child process with the VMM. It is started again after it died."""

    path: Path
    arena_bytes: int = ARENA_BYTES
    removed: tuple[str, int] = "", 0
    """The file and line of the check that the validator leaves out; `removable_program` only."""
    _child: "subprocess.Popen[bytes] | None" = None

    def validate(self, module: bytes) -> Verdict:
        """Validate a module. Raises Died."""
        return self._ask(_VALIDATE, module)

    def run(self, module: bytes, status: int = STATUS) -> tuple[Verdict, list[Event]]:
        """Validate a module, and run it if it is valid. Raises Died."""
        verdict = self._ask(_RUN, module, status)
        events: list[Event] = []
        while verdict.reason is None and (not events or events[-1].record == "C"):
            record, *rest = _EVENT.unpack(self._read(_EVENT.size))
            events.append(Event(chr(record), *rest))
        return verdict, events

    def time(self, module: bytes) -> tuple[Verdict, int, int]:
        """Validate and run a module without reports. Return the times of both in ns. Raises Died."""
        verdict = self._ask(_TIME, module)
        validated, ran = _TIMES.unpack(self._read(_TIMES.size))
        return verdict, validated, ran

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            assert self._child.stdin
            assert self._child.stdout
            self._child.stdin.close()
            self._child.stdout.close()
            self._child.kill()
            self._child.wait()
            self._child = None

    def _ask(self, command: int, module: bytes, status: int = STATUS) -> Verdict:
        if self._child is None:
            self._child = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdin
        try:
            file, line = self.removed
            request = _REQUEST.pack(command, len(module), self.arena_bytes, status, line, file.encode())
            self._child.stdin.write(request + module)
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        reason, *rest = _VERDICT.unpack(self._read(_VERDICT.size))
        return Verdict(reasons()[reason], *rest)

    def _read(self, size: int) -> bytes:
        assert self._child
        assert self._child.stdout
        found = self._child.stdout.read(size)
        if len(found) < size:
            raise self._died()
        return found

    def _died(self) -> Died:
        assert self._child
        code = self._child.wait()
        self.close()
        return Died(f"the VMM's process ended with code {code}")
