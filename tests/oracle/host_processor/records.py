"""The start and end of a program, as records of witness.c.

A program is a piece of user-mode code for one of two modes of the processor, at fixed linear addresses. `Start` and
`End` name the registers as the manual does. All fields that witness.c reports are here, and no others.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

CODE_64_SELECTOR, CODE_32_SELECTOR, DATA_SELECTOR = 0x33, 0x23, 0x2B
"""Linux's user segments: 64-bit code, 32-bit code, data; all flat."""
READ, WRITE, EXECUTE = 1, 2, 4
_GENERAL = ("R15", "R14", "R13", "R12", "R11", "R10", "R9", "R8", "RDI", "RSI", "RBP", "RBX", "RDX", "RCX", "RAX")
_SEGMENTS = ("DS", "ES", "FS", "GS", "FS_BASE", "GS_BASE")
_STARTED = (*_GENERAL, "RIP", "CS", "RFLAGS", "RSP", "SS", *_SEGMENTS)
_ENDED = ("signal", "killed", "vector", "error_code", "CR2", *_STARTED)
_START, _END, _PIECE = struct.Struct("<26Q512s2I8x"), struct.Struct("<2I3Q26Q512sQ"), struct.Struct("<2Q")
REGISTERS = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", *(f"R{n}" for n in range(8, 16)))
"""In the order of their numbers in an instruction."""


@dataclass(frozen=True)
class Region:
    """Pages at a linear address, their initial content, and a program's access rights."""

    address: int
    content: bytes = field(repr=False)
    protection: int

    def packed(self) -> bytes:
        return struct.pack("<2QI4x", self.address, len(self.content), self.protection) + self.content


@dataclass(frozen=True)
class Start:
    """The start of a program except the regions' content, over which `memory` is written."""

    registers: dict[str, int]
    """All of `_STARTED`."""
    fx: bytes = field(repr=False)
    """An FXSAVE64 image."""
    memory: tuple[tuple[int, bytes], ...]
    microseconds: int = 20_000
    """Processor time after which a program is stopped."""

    def packed(self) -> bytes:
        values = [self.registers[name] for name in _STARTED]
        head = _START.pack(*values, self.fx, self.microseconds, len(self.memory))
        return head + b"".join(_PIECE.pack(at, len(data)) + data + bytes(-len(data) % 8) for at, data in self.memory)


@dataclass(frozen=True)
class End:
    """The state in which a program ended."""

    registers: dict[str, int]
    """All of `_STARTED`, as the operating system saved them."""
    signal: int
    killed: bool
    """No signal handler could run: the state is not known."""
    vector: int
    error_code: int
    cr2: int
    """Set by this program only if `vector` is 14."""
    fx: bytes = field(repr=False)
    memory: tuple[tuple[int, bytes], ...]
    """Pieces of eight bytes that differ from the start, by address, ascending within each region."""


def unpacked(raw: bytes) -> Iterator[End]:
    """The ends of a batch, in order, as witness.c reports them."""
    at = 0
    while at < len(raw):
        *values, fx, length = _END.unpack_from(raw, at)
        at += _END.size
        named = dict(zip(_ENDED, values, strict=True))
        signal, killed, vector, error_code, cr2 = (named.pop(name) for name in _ENDED[:5])
        yield End(named, signal, bool(killed), vector, error_code, cr2, fx, tuple(_pieces(raw[at : at + length])))
        at += length


def _pieces(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(raw):
        address, length = _PIECE.unpack_from(raw, at)
        at += _PIECE.size
        yield address, raw[at : at + length]
        at += length
