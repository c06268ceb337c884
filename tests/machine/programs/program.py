"""A program of a few instructions with its start state and end state."""

import struct
from dataclasses import dataclass, field
from enum import Enum

from tests.machine.programs import layout

GENERAL = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", *(f"R{number}" for number in range(8, 16)))
"""In the order of their numbers in an instruction."""
CR0_DEFAULT, CR4_DEFAULT = 0x8005_0033, 0x1_0620
"""PG AM WP NE ET MP PE, and FSGSBASE OSXMMEXCPT OSFXSR PAE: as on Linux, but for SMEP, SMAP and UMIP."""
FX_AT_RESET = struct.pack("<HHBxH8x8xI", 0x37F, 0, 0, 0, 0x1F80).ljust(512, b"\0")
"""An FXSAVE image: x87 as FNINIT leaves it, MXCSR as at reset, all registers zero."""
_REGISTERS = tuple(layout.STACK_POINTER if name == "RSP" else 0 for name in GENERAL)


class Mode(Enum):
    """The mode set by the code segment and EFER (SDM volume 3, 2.2)."""

    LONG = "64"
    COMPATIBILITY = "compatibility"
    PROTECTED = "protected32"


@dataclass(frozen=True)
class Program:
    """A program and its start state.

    The instruction after it is `layout.END`. In ring 0 of protected mode the exception that ends a program has no other
    stack: its frame is on the program's own.
    """

    code: bytes
    mode: Mode = Mode.LONG
    ring: int = 3
    registers: tuple[int, ...] = _REGISTERS
    """The general registers, by number. Outside 64-bit mode the lower halves of the first eight count."""
    rflags: int = 0x202
    fx: bytes = field(default=FX_AT_RESET, repr=False)
    """x87, MXCSR and XMM as an FXSAVE image of the mode."""
    fs_base: int = 0
    gs_base: int = 0
    selector: int | None = None
    """Selectors loaded into DS, ES, FS and GS in ring 0, before the return to the program clears forbidden ones.

    None: null in 64-bit mode, else the ring's data segment.
    """
    data: bytes = field(default=b"", repr=False)
    """The content of the two data pages from their start on; zeros follow."""
    stack: bytes = field(default=b"", repr=False)
    """The content of the two stack pages."""
    cr0: int = CR0_DEFAULT
    cr4: int = CR4_DEFAULT
    """PG and PE must be set in CR0, PAE and OSFXSR in CR4."""
    limit: int = 1000
    """Instructions, after which the run ends wherever it is."""
    peripherals: bool = False
    """A device with direct memory access, an I/O permission bitmap, and in protected mode a task that returns."""
    interrupt_at: int | None = None
    """The number of instructions before an external interrupt, whose handler returns at once."""


class End(Enum):
    """The end of a run."""

    DONE = "done"
    """At the instruction after the program, or another INT 80H."""
    TAKEN = "taken"
    """By an exception, a software interrupt or a call gate: see `Result.vector`."""
    HALTED = "halted"
    """By HLT in ring 0."""
    SHUTDOWN = "shutdown"
    """By a triple fault."""
    LIMIT = "limit"
    """It reached the limit."""


@dataclass(frozen=True, order=True)
class Change:
    """Changed bytes of memory."""

    page: str
    """The name of the kind of pages in `layout.PAGES`, `kernel` or `page tables`."""
    offset: int
    data: bytes


@dataclass(frozen=True)
class Access:
    """An access to the registers of the device page."""

    offset: int
    size: int
    written: int | None
    """The value, or None for a read."""


@dataclass(frozen=True)
class Result:
    """The end state of a program, before any handler instruction."""

    end: End
    vector: int | None
    """The vector that ended it, unless it completed: 0 to 255, or `layout.CALL_GATE_VECTOR`, `layout.TASK_VECTOR`."""
    error_code: int | None
    registers: dict[str, int]
    """By manual names: general registers, RIP, RFLAGS, selectors, CPL, FS_BASE, GS_BASE, KERNEL_GS_BASE, CR0 to CR4,
    EFER, GDTR, IDTR (base), LDTR, TR (selector), and x87 and SSE state as in FXSAVE images (FCW to XMM15).

    RIP, CS, RFLAGS, RSP and SS are those that the frame on the handler's stack has, if there is one.
    """
    memory: tuple[Change, ...]
    device: tuple[Access, ...]
    retired: int
    """Instructions retired by the program, including the INT that ended it."""
