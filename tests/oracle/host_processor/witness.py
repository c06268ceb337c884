"""Runs user-mode programs on the host's own processor (witness.c). x86-64 Linux only. The pinned zig builds witness.c
on first use; the executable is cached by content.
"""

import importlib.metadata
import importlib.util
import os
import platform
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from tests.oracle.host_processor.records import End, Region, Start, unpacked

_SOURCE = Path(__file__).parent / "witness.c"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "enclave-sim"
_OPTIONS = (
    *("-target", "x86_64-linux-none", "-O2", "-nostdlib", "-ffreestanding", "-fno-stack-protector"),
    *("-fno-sanitize=undefined", "-mfsgsbase", "-Wall", "-Wextra", "-Werror"),
    # far above the reach of 32-bit addresses
    *("-no-pie", "-static", "-mcmodel=large", "-Wl,--image-base=0x700000000000"),
)
_BATCH = 256
_BATCH_BYTES = 8 << 20


class WitnessError(Exception):
    """witness.c ended or gave a malformed answer: our defect, never that of a program that it runs."""


def missing() -> str | None:
    """Why this host cannot be used, or None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the host is {sys.platform} on {platform.machine()}, not Linux on x86-64"
    return None if "fsgsbase" in features() else "the host's processor has no FSGSBASE"


def features() -> frozenset[str]:
    """The features of the host's processor, by Linux's names."""
    found = Path("/proc/cpuinfo")
    for line in found.read_text().splitlines() if found.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def build() -> Path:
    """The executable of witness.c."""
    zig = importlib.util.find_spec("ziglang")
    if zig is None or zig.origin is None:
        raise WitnessError("ziglang, which builds witness.c, is not installed")
    headers = Path(zig.origin).parent / "lib/libc/include"
    content = importlib.metadata.version("ziglang"), _OPTIONS, _SOURCE.read_text()
    built = _CACHE / f"witness-{sha256(repr(content).encode()).hexdigest()[:32]}"
    if not built.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as directory:
            output = Path(directory, "witness")
            includes = [f"-isystem{headers / name}" for name in ("x86-linux-any", "any-linux-any")]
            command = [sys.executable, "-m", "ziglang", "cc", *_OPTIONS, *includes, str(_SOURCE), "-o", str(output)]
            subprocess.run(command, check=True)
            os.replace(output, built)
    return built


class Witness:
    """A running witness.c with its regions of memory. Use it in a `with` statement."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self._process = subprocess.Popen(
            [build()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, start_new_session=True
        )  # a separate session: Ctrl-C goes only to us
        self._write(struct.pack("<I", len(regions)) + b"".join(region.packed() for region in regions))

    def __enter__(self) -> "Witness":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End witness.c."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(self, starts: Sequence[Start]) -> Iterator[End]:
        """Execute programs, each from its own start. Raises WitnessError."""
        for first in range(0, len(starts), _BATCH):
            yield from self._run(starts[first : first + _BATCH])

    def _run(self, batch: Sequence[Start]) -> list[End]:
        records = b"".join(start.packed() for start in batch)
        if len(records) > _BATCH_BYTES:
            raise WitnessError(
                f"{len(batch)} programs take {len(records)} bytes; witness.c has room for {_BATCH_BYTES}"
            )
        self._write(struct.pack("<2I", len(batch), len(records)) + records)
        (length,) = struct.unpack("<Q", self._read(8))
        ends = list(unpacked(self._read(length)))
        if len(ends) != len(batch):
            raise WitnessError(f"{len(batch)} programs, {len(ends)} ends")
        return ends

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WitnessError(f"witness.c ended with {self._process.wait()}") from None

    def _read(self, length: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(length)
        if len(data) != length:
            raise WitnessError(f"witness.c ended with {self._process.wait()}")
        return data
