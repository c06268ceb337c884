"""Builds the payloads of this directory: after changing a source run `python -m payloads.build`.

wasmtime translates WebAssembly text, the pinned ziglang compiles C and assembly, and all give the same bytes on every
computer. Assembly becomes flat x86-64 binaries, which have no signature. Signatures differ each time, because ML-DSA
signing is hedged with randomness, so a module whose code and key are unchanged keeps its file, and running this twice
changes nothing.
"""

import io
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from elftools.elf.elffile import ELFFile

from enclave_sim.errors import EnclaveError
from enclave_sim.files.writing import write_file
from enclave_sim.payload.errors import PayloadError
from enclave_sim.payload.keys import ANCHOR_SUFFIX, KEY_SUFFIX, SigningKey
from enclave_sim.payload.signature import sign, verify

HERE = Path(__file__).parent
"""The directory of the built modules."""

SOURCES = HERE / "src"
"""The directory of the sources, one file per payload."""

KEYS = HERE / "keys"
"""The directory of the development key."""

_DEVELOPMENT_PHRASE = "Aether Enclave development key, never for production: "

# Plain `mvp`: another instruction set would give another module, and other digests of its recordings. Without
# -fno-builtin the compiler turns loops into calls of memcpy, which does not exist here. One page of memory, 4 KiB of it
# for the stack.
_C_FLAGS = [
    "--target=wasm32-freestanding",
    "-mcpu=mvp",
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-builtin",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=4096",
    "-Wl,--initial-memory=65536",
]

_FLAT_FLAGS = ["-target", "x86_64-freestanding-none", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"]


def development_key() -> SigningKey:
    """Derive the development key. Its seeds are hashes of a public phrase: it is not secret."""
    ed25519, ml_dsa_65 = (
        sha256((_DEVELOPMENT_PHRASE + algorithm).encode()).digest() for algorithm in ("Ed25519", "ML-DSA-65")
    )
    return SigningKey("development", ed25519, ml_dsa_65, development=True)


def sources() -> list[Path]:
    """Return the source files, sorted by name."""
    return sorted(path for path in SOURCES.iterdir() if path.suffix in {".wat", ".c"})


def flat_sources() -> list[Path]:
    """Return the sources of flat payloads, sorted by name."""
    return sorted(SOURCES.glob("*.S"))


def compile_source(source: Path) -> bytes:
    """Return the unsigned module of a `.wat` or `.c` file. Raises PayloadError with the tool's message."""
    return _compile_c(source) if source.suffix == ".c" else _compile_wat(source)


def build(directory: Path = HERE) -> list[Path]:
    """Build every payload and the key files in `directory`. Return the written files."""
    key = development_key()
    keys = directory / KEYS.name
    keys.mkdir(exist_ok=True)
    written = [
        path
        for path, data in (
            (keys / (key.name + KEY_SUFFIX), key.to_json()),
            (keys / (key.name + ANCHOR_SUFFIX), key.anchor().to_json()),
        )
        if _write_if_changed(path, data)
    ]
    for source in sources():
        module = compile_source(source)
        goal = directory / f"{source.stem}.wasm"
        if not _is_signed(goal, module, key):
            write_file(goal, sign(module, key))
            written.append(goal)
    for source in flat_sources():
        goal = directory / f"{source.stem}.bin"
        if _write_if_changed(goal, assemble(source)):
            written.append(goal)
    return written


def main() -> int:
    """Build in place and print the changes. Return the exit status."""
    try:
        written = build()
    except (EnclaveError, OSError) as error:
        print(f"payloads.build: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path.relative_to(HERE.parent)}")
    print(f"{len(sources()) + len(flat_sources())} payloads, {len(written)} files written")
    return 0


def _compile_wat(source: Path) -> bytes:
    from wasmtime import WasmtimeError, wat2wasm  # noqa: PLC0415

    try:
        return bytes(wat2wasm(source.read_text("utf-8")))
    except WasmtimeError as error:
        raise PayloadError(f"{source.name}: {error}") from error


def _compile_c(source: Path) -> bytes:
    return _run_zig(source, _C_FLAGS)


def assemble(source: Path) -> bytes:
    """Return the flat binary of a `.S` file, linked by `flat.ld`. Raises PayloadError with the tool's message."""
    elf = ELFFile(io.BytesIO(_run_zig(source, [*_FLAT_FLAGS, "-Wl,-T,flat.ld"])))
    (segment,) = elf.iter_segments("PT_LOAD")
    return bytes(segment.data())


def _run_zig(source: Path, flags: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "output")
        command = [sys.executable, "-m", "ziglang", "cc", *flags, "-o", str(output), source.name]
        caches = {"ZIG_LOCAL_CACHE_DIR": scratch, "ZIG_GLOBAL_CACHE_DIR": scratch}
        # The working directory is the source's, so that the module contains no path of this computer.
        result = subprocess.run(
            command,
            cwd=source.parent,
            env=os.environ | caches,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise PayloadError(f"{source.name}: {result.stderr.strip()}")
        return output.read_bytes()


def _is_signed(path: Path, module: bytes, key: SigningKey) -> bool:
    """Report whether `path` holds exactly `module` with a valid signature by `key`."""
    try:
        return verify(path.read_bytes(), [key.anchor()]).content == module
    except (FileNotFoundError, PayloadError):
        return False


def _write_if_changed(path: Path, data: bytes) -> bool:
    if path.exists() and path.read_bytes() == data:
        return False
    write_file(path, data)
    return True


if __name__ == "__main__":
    sys.exit(main())
