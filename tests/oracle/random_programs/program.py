"""A program with its start and end states, and their forms in memory (layout.inc)."""

import struct
from dataclasses import dataclass, field

from tests.oracle.qemu import NS_PER_INSTRUCTION
from tests.oracle.random_programs import layout
from tests.oracle.random_programs.layout import number

REGISTERS = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", *(f"R{n}" for n in range(8, 16)))
_RECORD = struct.Struct("<6I3Q16Q")
NO_ERROR_CODE = -1


@dataclass(frozen=True)
class Program:
    """A program and its start state. Instructions are kept separate, so that some can be omitted."""

    kind: str
    """Name of the generator."""
    ring: int
    instructions: tuple[bytes, ...]
    registers: tuple[int, ...]
    rflags: int = 0x202
    fs_base: int = 0
    gs_base: int = 0
    fx: int = 0
    """Index of the FXSAVE image of the environment."""
    pool: int = 0
    """Offset in the environment's pool of the data page's content; the stack page's is 4096 further."""
    budget: int = 2000
    """Instructions until the timer interrupt."""
    undefined_flags: tuple[tuple[int, int], ...] = ()
    """Addresses, and the flags that are undefined if the program ends there."""

    @property
    def code(self) -> bytes:
        return b"".join(self.instructions)

    def packed(self) -> bytes:
        """The record for the runner."""
        code = self.code
        size = (number("RECORD_CODE") + len(code) + 7) & ~7
        timer = (layout.TIMER_LEAD + self.budget) * NS_PER_INSTRUCTION - 1
        head = _RECORD.pack(
            self.ring,
            self.fx,
            timer,
            len(code),
            self.pool,
            size,
            self.rflags,
            self.fs_base,
            self.gs_base,
            *self.registers,
        )
        return (head + code).ljust(size, b"\0")


@dataclass(frozen=True)
class Environment:
    """Shared by all programs of a batch: FXSAVE images and the pool that fills memory."""

    fx: tuple[bytes, ...] = field(repr=False)
    pool: bytes = field(repr=False)


def module(environment: Environment, programs: tuple[Program, ...]) -> bytes:
    """The Multiboot2 module for the runner kernel."""
    head = struct.pack("<2I8x", len(programs), len(environment.fx))
    return b"".join([head, *environment.fx, environment.pool, *(program.packed() for program in programs)])


@dataclass(frozen=True)
class State:
    """The state in which a program ended. `named` has everything except memory, by manual names."""

    named: dict[str, int]
    data: bytes = field(repr=False)
    stack: bytes = field(repr=False)

    @classmethod
    def unpacked(cls, raw: bytes) -> "State":
        """Decode what the runner stored."""
        fields = struct.unpack_from("<16QQq5QQ", raw)
        named = dict(zip(REGISTERS, fields[:16], strict=True))
        named |= dict(zip(("vector", "error_code", "RIP", "CS", "RFLAGS"), fields[16:21], strict=True))
        named |= {"SS": fields[22], "CR2": fields[23]}
        (named["timer"],) = struct.unpack_from("<Q", raw, number("STATE_TIMER"))
        named |= dict(
            zip(("DS", "ES", "FS", "GS"), struct.unpack_from("<4H", raw, number("STATE_SELECTORS")), strict=True)
        )
        bases = ("FS_BASE", "GS_BASE", "KERNEL_GS_BASE", "CR0")
        named |= dict(zip(bases, struct.unpack_from("<4Q", raw, number("STATE_FS_BASE")), strict=True))
        gdt = struct.unpack_from(f"<{number('GDT_SIZE') // 8}Q", raw, number("STATE_GDT"))
        named |= {f"GDT[{index * 8:#x}]": value for index, value in enumerate(gdt)}
        named |= fx_fields(raw[number("STATE_FX") :][: layout.FX_SIZE])
        data, stack = number("STATE_DATA"), number("STATE_STACK")
        return cls(named, raw[data : data + layout.PAGE_SIZE], raw[stack : stack + layout.PAGE_SIZE])


def fx_fields(image: bytes) -> dict[str, int]:
    """The fields of an FXSAVE image in 64-bit mode (SDM volume 1, table 10-2), without REX.W."""
    fcw, fsw, ftw, fop = struct.unpack_from("<HHBxH", image)
    fip, fcs, fdp, fds, mxcsr = struct.unpack_from("<IH2xIH2xI", image, 8)
    named = {"FCW": fcw, "FSW": fsw, "FTW": ftw, "FOP": fop, "FIP": fip, "FCS": fcs, "FDP": fdp, "FDS": fds}
    named["MXCSR"] = mxcsr
    for index in range(8):
        named[f"ST{index}"] = int.from_bytes(image[32 + 16 * index :][:10], "little")
    for index in range(16):
        named[f"XMM{index}"] = int.from_bytes(image[160 + 16 * index :][:16], "little")
    return named
