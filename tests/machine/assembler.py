"""Builds test kernels. The assembler takes longer than the test itself, so built kernels are cached, keyed by their
source."""

import importlib.metadata
import os
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
_ZIG = str(importlib.metadata.distribution("ziglang").locate_file("ziglang/zig"))
"""Started directly: `python -m ziglang` would start another Python for each kernel."""
_SCRIPT = HERE / "link.ld"
_OPTIONS = ["-target", "x86_64-freestanding-none", "-nostdlib", "-static", "-Wl,-z,max-page-size=4096"]


class Assembler:
    """Keeps kernels in `directory`, which several processes may share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def build(self, source: str, body: str, **defines: int) -> bytes:
        """The ELF file of `source`, a file beside this one, around a body of instructions."""
        path = HERE / source
        files = path.read_text(), _SCRIPT.read_text()
        inputs = importlib.metadata.version("ziglang"), _OPTIONS, files, body, sorted(defines.items())
        built = self._directory / f"{sha256(repr(inputs).encode()).hexdigest()}.elf"
        if not built.exists():
            with tempfile.TemporaryDirectory(dir=self._directory) as directory:
                text, output = Path(directory, "body.inc"), Path(directory, "kernel.elf")
                text.write_text(body)
                command = [_ZIG, "cc", *_OPTIONS, f"-Wl,-T,{_SCRIPT}", f'-DBODY="{text}"']
                command += [f"-D{name}={value}" for name, value in defines.items()]
                subprocess.run([*command, str(path), "-o", str(output)], check=True)
                os.replace(output, built)
        return built.read_bytes()
