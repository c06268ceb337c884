"""Guests that exercise the mutants, each with a secret that can be replaced.

Flat guests are machine code assembled here, a few instructions each; WebAssembly guests are text.
"""

import struct
from collections.abc import Callable

from wasmtime import wat2wasm

from enclave_sim.memory_map import region
from enclave_sim.payload.signature import inspect
from payloads import read

_HEAP = region("heap").base
_GET_STATUS, _EMIT_SIGNAL, _SHRED_SELF, _RETURNED = range(4)
_UD2 = b"\x0f\x0b"


def _call(number: int) -> bytes:
    """MOV EAX, number; INT 80h."""
    return b"\xb8" + struct.pack("<I", number) + b"\xcd\x80"


def _emit(value: int) -> bytes:
    """MOV EDI, value and the call."""
    return b"\xbf" + struct.pack("<I", value) + _call(_EMIT_SIGNAL)


def _hoard(secret: int) -> bytes:
    """Puts the secret in all registers but RAX, RSP and RDI, in XMM7 and MM3, on the stack and in the heap."""
    word = struct.pack("<Q", secret * 0x0101_0101_0101_0101)
    code = b"".join(bytes([0x48, 0xB8 + n]) + word for n in (1, 2, 3, 5, 6))
    code += b"".join(bytes([0x49, 0xB8 + n]) + word for n in range(8))
    code += b"\x66\x48\x0f\x6e\xfb" + b"\x48\x0f\x6e\xdb"  # MOVQ XMM7, RBX; MOVQ MM3, RBX
    code += 4 * b"\x53" + b"\x48\x89\x1c\x25" + struct.pack("<I", _HEAP)  # PUSH RBX; MOV [heap], RBX
    return code


def keeper(secret: int) -> bytes:
    """Spreads the secret, asks for the status word, spreads it again and returns."""
    return _hoard(secret) + _call(_GET_STATUS) + _hoard(secret) + _call(_RETURNED) + _UD2


def failure(secret: int) -> bytes:
    """Spreads the secret and faults."""
    return _hoard(secret) + _UD2


def shredder(secret: int) -> bytes:
    """Spreads the secret and asks for the end."""
    return _hoard(secret) + _call(_SHRED_SELF) + _UD2


def herald(secret: int) -> bytes:
    """Declares the secret, twice."""
    return _emit(secret) + _emit(secret) + _call(_RETURNED) + _UD2


def chatterer(secret: int) -> bytes:
    """Asks for the status word hundreds of times; never declares its secret."""
    return bytes([0xB3, secret]) + 300 * _call(_GET_STATUS) + _call(_RETURNED) + _UD2


def porter(secret: int) -> bytes:
    """Writes the secret to the POST port, as firmware may: MOV AL, secret; OUT 80h, AL."""
    return bytes([0xB0, secret, 0xE6, 0x80]) + _call(_RETURNED) + _UD2


def registrar(secret: int) -> bytes:
    """Writes the secret to IA32_KERNEL_GS_BASE: MOV ECX, its number; MOV EAX, secret; XOR EDX, EDX; WRMSR."""
    number, value = struct.pack("<I", 0xC000_0102), struct.pack("<I", secret)
    return b"\xb9" + number + b"\xb8" + value + b"\x31\xd2\x0f\x30" + _call(_RETURNED) + _UD2


def stepper(secret: int) -> bytes:
    """Sets TF, so that #DB follows its next instruction: PUSHFQ; OR [RSP], 100h; POPFQ; MOV AL, secret."""
    return b"\x9c\x48\x81\x0c\x24\x00\x01\x00\x00\x9d" + bytes([0xB0, secret]) + _UD2


def aligner(secret: int) -> bytes:
    """Sets AC and returns: PUSHFQ; OR [RSP], 40000h; POPFQ; MOV BL, secret."""
    return b"\x9c\x48\x81\x0c\x24\x00\x00\x04\x00\x9d" + bytes([0xB3, secret]) + _call(_RETURNED) + _UD2


_ROWER = """(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (memory 1)
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const 60000))
    (loop $again
      (i32.store (local.get $left) (i32.const {secret}))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 2)))))
    (call $emit_signal (i32.load (i32.const 2)))))"""
_SETTLER = """(module
  (memory {pages})
  (func (export "_start") (i32.store8 (i32.const 0) (i32.const {secret}))))"""
_RETURNER = """(module
  (global $kept (mut i32) (i32.const 0))
  (func (export "_start") (local $left i32)
    (local.set $left (i32.add (global.get $kept) (i32.const 1)))
    (global.set $kept (i32.const {secret}))
    (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"""
_HOARDER = """(module
  (import "aether" "emit_signal" (func $emit (param i32)))
  (memory 1)
  (global $kept (mut i32) (i32.const 0))
  (func $deeper (param $secret i32) (result i32)
    (i32.add (local.get $secret) (global.get $kept)))
  (func (export "_start") (local $secret i32)
    (local.set $secret (i32.const {secret}))
    (global.set $kept (local.get $secret))
    (i32.store (i32.const 8) (call $deeper (local.get $secret)))
    (call $emit (i32.load (i32.const 8)))))"""


def _module(text: str) -> Callable[[int], bytes]:
    return lambda secret: bytes(wat2wasm(text.format(secret=secret, pages=region("heap").size >> 16)))


rower = _module(_ROWER)
"""Writes the secret all over its memory, for longer than a time slice, and declares it."""
settler = _module(_SETTLER)
"""Has the whole heap, and puts the secret at its start."""
returner = _module(_RETURNER)
"""Keeps the secret in a global, which a fresh guest does not find. A guest that finds it loops that many times."""

hoarder = _module(_HOARDER)
"""Has the secret in a global, a local, an argument, an operand and its memory."""


def forged(algorithm: int) -> bytes:
    """A payload with one invalid signature: 0 the Ed25519 signature, 1 the ML-DSA-65 signature."""
    module = read("beacon")
    signature = inspect(module).records[algorithm].signature
    return module.replace(signature, signature[:-1] + bytes([signature[-1] ^ 1]))
