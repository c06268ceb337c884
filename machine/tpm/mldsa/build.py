"""Builds the ML-DSA-65 module: `python -m machine.tpm.mldsa.build`. A test compares the committed module with it."""

import subprocess
import sys
import tempfile
from pathlib import Path

from machine.tpm.mldsa import MODULE

FLAGS = ["-target", "wasm32-freestanding", "-O", "ReleaseSmall", "-fstrip", "-fno-entry", "-rdynamic"]


def build() -> bytes:
    """Compile mldsa65.zig and return the module."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / MODULE.name
        command = [sys.executable, "-m", "ziglang", "build-exe", "mldsa65.zig", *FLAGS, f"-femit-bin={output}"]
        subprocess.run(command, cwd=MODULE.parent, check=True)
        return output.read_bytes()


if __name__ == "__main__":
    MODULE.write_bytes(build())
    print(f"{MODULE.name}: {MODULE.stat().st_size} bytes")
