"""The kernel's verification of signatures as a library of this host (x86-64 Linux): the image's own C and Zig."""

import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import firmware
from enclave_sim.payload import anchor_list
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.payload.keys import TrustAnchor
from firmware.build import SIGNATURES, VMM, compile_algorithms

KERNEL = Path(firmware.__file__).parent / "src"
HOST = Path(__file__).parent / "host.c"
_C = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-none", "-nostdlib", "-shared", "-fPIC", "-O2"]
_FLAGS = ["-std=gnu17", "-ffreestanding", "-fno-stack-protector", "-fno-sanitize=all", "-Wall", "-Wextra", "-Werror"]
_CHECKS = (None, *(PayloadCheck[name] for name in firmware.built_in().description.checks[1:]))


@cache
def _workplace() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()


@cache
def library() -> ctypes.CDLL:
    """Return the library, built at first use."""
    directory = Path(_workplace().name)
    algorithms, shared = directory / "algorithms.o", directory / "signatures.so"
    compile_algorithms(algorithms, ["-target", "x86_64-linux-none", "-fPIC"])
    sources = [*sorted(SIGNATURES.glob("*.c")), VMM / "reader.c", KERNEL / "sha256.c", HOST]
    command = [*_C, *_FLAGS, f"-I{SIGNATURES}", f"-I{VMM}", *map(str, sources), str(algorithms), "-o", str(shared)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(shared))


def ed25519_verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify a signature as the kernel does."""
    return bool(library().ed25519_verifies(key, signature, message, ctypes.c_uint64(len(message))))


def ml_dsa_65_verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify a signature, with the context of payloads, as the kernel does."""
    return bool(library().ml_dsa_65_verifies(key, signature, message, ctypes.c_uint64(len(message))))


def failed_check(
    module: bytes, anchors: Sequence[TrustAnchor] | bytes, *, production: bool = False
) -> PayloadCheck | None:
    """Return the check that a module fails in the kernel, or None."""
    packed = anchors if isinstance(anchors, bytes) else anchor_list.pack(anchors)
    number: int = library().host_verify(module, len(module), packed, len(packed), int(production))
    return _CHECKS[number]


def anchors_are_sound(packed: bytes) -> bool:
    """Report whether the kernel accepts a list of trust anchors."""
    return bool(library().host_anchors(packed, len(packed)))
