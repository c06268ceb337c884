"""The registers of a stopped processor, visible and hidden (SDM volume 3, 3.4.3), in Unicorn's own layout.

The layout is that of QEMU's `CPUX86State` up to EFER. saved_context.py maps these structures onto a saved context, and
refuses a Unicorn with another layout.
"""

import ctypes
import struct
from typing import Any

GENERAL_REGISTERS = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
)
"""In the order of their register numbers."""
SEGMENT_REGISTERS = ("es", "cs", "ss", "ds", "fs", "gs")

ARITHMETIC_FLAGS = 0x8D5
"""OF, SF, ZF, AF, PF, CF."""
CODE_64, DEFAULT_32 = 1 << 21, 1 << 22
_LOW = 0xFFFF_FFFF
# hflags
HFLAG_INTERRUPTS_INHIBITED, _CODE_32, _STACK_32, _ADD_SEGMENT, HFLAG_CODE_64 = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 15
_LONG_MODE_ACTIVE = 1 << 14
HFLAG_TF, HFLAG_EM, HFLAG_TS = 1 << 8, 1 << 10, 1 << 11
"""HFLAG_TF makes Unicorn raise #DB after each instruction, as RFLAGS.TF does, but software does not see the flag."""
HFLAG_BY_BLOCK = 1 << 24
"""Only tells two translations of the same code apart. QEMU sets it while a debug register watches I/O ports, which
affects only IN and OUT."""
BEYOND_MEMORY = 1 << 52
"""A physical address that no entry of a page table can have. There Unicorn finds the page-directory pointers of PAE
paging."""


class SegmentRegister(ctypes.Structure):
    """A segment register with the descriptor cached in it (SDM volume 3, 3.4.3)."""

    _fields_ = [
        ("selector", ctypes.c_uint32),
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    ]
    selector: int
    base: int
    limit: int
    """In bytes, for any granularity."""
    flags: int
    """The second doubleword of the descriptor: type in bits 8-11, S 12, DPL 13-14, P 15, L 21, D/B 22."""

    def load(self, selector: int, base: int, limit: int, flags: int) -> None:
        """Set all fields."""
        self.selector, self.base, self.limit, self.flags = selector, base, limit, flags


class SystemRegisters(ctypes.Structure):
    """The last part of `ProcessorState`."""

    _fields_ = [
        *[(name, SegmentRegister) for name in ("ldtr", "tr", "gdtr", "idtr")],
        ("cr", ctypes.c_uint64 * 9),
        ("a20_mask", ctypes.c_int32),
        ("directory_pointers", ctypes.c_uint64 * 4),
        ("cr3_of_pae", ctypes.c_uint64),
        ("bounds", ctypes.c_uint64 * 6),
        ("efer", ctypes.c_uint64),
    ]
    cr: "ctypes.Array[ctypes.c_uint64]"
    directory_pointers: "ctypes.Array[ctypes.c_uint64]"
    """Those that PAE paging uses, if `cr[3]` is `BEYOND_MEMORY`. In QEMU's layout all these belong to MPX, which the
    processor does not have, as does `cr3_of_pae`."""
    cr3_of_pae: int
    efer: int

    @property
    def cr3(self) -> int:
        """CR3 as software sees it."""
        found: int = self.cr[3]
        return found if found != BEYOND_MEMORY else self.cr3_of_pae


_PARTS = (ctypes.Structure, ctypes.Array)


class ProcessorState(ctypes.Structure):
    """The registers of a stopped processor. RFLAGS is `HookState.rflags`; `eflags` has its initial value only.

    Segment, table and control registers are structures and arrays in it. ctypes makes an object of one each time it is
    read, which takes longer than the access. So `__getattr__` keeps these objects.
    """

    _fields_ = [
        *[(name, ctypes.c_uint64) for name in (*GENERAL_REGISTERS, "rip", "eflags")],
        *[(name, ctypes.c_uint64) for name in ("cc_dst", "cc_src", "cc_src2")],
        ("cc_op", ctypes.c_uint32),
        ("direction", ctypes.c_int32),
        ("hflags", ctypes.c_uint32),
        ("hflags2", ctypes.c_uint32),
        *[(f"_{name}", SegmentRegister) for name in SEGMENT_REGISTERS],
        *[
            (f"_{field[0]}" if issubclass(field[1], _PARTS) else field[0], field[1])
            for field in SystemRegisters._fields_
        ],
    ]
    rax: int
    rcx: int
    rdx: int
    rbx: int
    rsp: int
    rbp: int
    rsi: int
    rdi: int
    r11: int
    rip: int
    eflags: int
    cc_src: int
    cc_op: int
    direction: int
    hflags: int
    es: SegmentRegister
    cs: SegmentRegister
    ss: SegmentRegister
    ds: SegmentRegister
    fs: SegmentRegister
    gs: SegmentRegister
    ldtr: SegmentRegister
    tr: SegmentRegister
    gdtr: SegmentRegister
    idtr: SegmentRegister
    cr: "ctypes.Array[ctypes.c_uint64]"
    """`cr[3]` is what Unicorn walks the tables from; `cr3` is what software sees."""
    directory_pointers: "ctypes.Array[ctypes.c_uint64]"
    cr3_of_pae: int
    efer: int
    system_content: "ctypes.Array[ctypes.c_char]"
    """The bytes of the `SystemRegisters`, too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "system_content":
            part = (ctypes.c_char * _SYSTEM_REGISTERS_BYTES).from_buffer(self, _SYSTEM_REGISTERS_AT)
        else:
            part = getattr(self, f"_{name}")
        setattr(self, name, part)
        return part

    @property
    def cr3(self) -> int:
        """CR3 as software sees it."""
        found: int = self.cr[3]
        return found if found != BEYOND_MEMORY else self.cr3_of_pae

    @cr3.setter
    def cr3(self, value: int) -> None:
        if self.cr[3] == BEYOND_MEMORY:
            self.cr3_of_pae = value
        else:
            self.cr[3] = value

    @property
    def kept_pointers(self) -> list[int] | None:
        """The four page-directory pointers, if PAE paging has loaded them (SDM volume 3, 4.4.1)."""
        return list(self.directory_pointers) if self.cr[3] == BEYOND_MEMORY else None

    @property
    def cpl(self) -> int:
        """The current privilege level."""
        return self.hflags & 3

    @property
    def interrupts_inhibited(self) -> bool:
        """True if the previous instruction was STI, MOV SS or POP SS (SDM volume 3, 6.8.3)."""
        return bool(self.hflags & HFLAG_INTERRUPTS_INHIBITED)

    @interrupts_inhibited.setter
    def interrupts_inhibited(self, inhibited: bool) -> None:
        self.hflags = self.hflags & ~HFLAG_INTERRUPTS_INHIBITED | (HFLAG_INTERRUPTS_INHIBITED if inhibited else 0)

    @property
    def in_64_bit_code(self) -> bool:
        """True in 64-bit mode, false in compatibility and protected mode."""
        return bool(self.hflags & HFLAG_CODE_64)

    @property
    def in_flat_32_bit_code(self) -> bool:
        """True in a 32-bit code segment, with a 32-bit stack, if CS, SS, DS and ES begin at 0 and end at 4 GiB."""
        if self.hflags & (HFLAG_CODE_64 | _CODE_32 | _STACK_32 | _ADD_SEGMENT) != _CODE_32 | _STACK_32:
            return False
        return not self.cs.base and all(one.limit == _LOW for one in (self.cs, self.ss, self.ds, self.es))

    @property
    def linear_rip(self) -> int:
        """The linear address of the next instruction, as the instruction hook sees it."""
        return self.rip if self.hflags & HFLAG_CODE_64 else self.cs.base + self.rip & 0xFFFF_FFFF

    def advance(self, length: int) -> None:
        """Add the length of an instruction to RIP."""
        self.rip += length
        self.wrap_rip()

    def wrap_rip(self) -> None:
        """Take RIP modulo 4 GiB outside 64-bit mode, where Unicorn and an addition leave it beyond that."""
        if not self.hflags & HFLAG_CODE_64:
            self.rip &= _LOW

    def offset_of(self, linear: int) -> int:
        """Return the RIP of an instruction at a linear address: the inverse of `linear_rip`."""
        return linear if self.in_64_bit_code else linear - self.cs.base & 0xFFFF_FFFF

    @property
    def general_registers(self) -> tuple[int, ...]:
        """The values of the `GENERAL_REGISTERS`, in that order."""
        return _GENERAL.unpack(ctypes.string_at(ctypes.addressof(self), _GENERAL.size))

    @property
    def segment_registers(self) -> bytes:
        """The bytes of ES, CS, SS, DS, FS and GS."""
        return ctypes.string_at(ctypes.addressof(self) + _SEGMENT_REGISTERS_AT, _SEGMENT_REGISTERS_BYTES)

    @property
    def table_registers(self) -> bytes:
        """The bytes of LDTR, TR, GDTR and IDTR."""
        return ctypes.string_at(ctypes.addressof(self) + _SYSTEM_REGISTERS_AT, _TABLE_REGISTERS_BYTES)

    @property
    def system_registers(self) -> bytes:
        """The bytes of the `SystemRegisters`."""
        content: bytes = self.system_content.raw
        return content

    def end_inhibition(self) -> None:
        """End the interrupt shadow of STI and MOV SS, after the one instruction that it covers."""
        self.hflags &= ~HFLAG_INTERRUPTS_INHIBITED

    def follow_segments(self, cpl: int) -> None:
        """Update `hflags`, in which QEMU caches parts of the segments, after a change of CS, SS or the privilege level.

        Args:
            cpl: The privilege level from now on, 0 to 3.
        """
        flags = (
            self.hflags & ~(3 | HFLAG_INTERRUPTS_INHIBITED | _CODE_32 | _STACK_32 | _ADD_SEGMENT | HFLAG_CODE_64) | cpl
        )
        if flags & _LONG_MODE_ACTIVE and self.cs.flags & CODE_64:
            self.hflags = flags | _CODE_32 | _STACK_32 | HFLAG_CODE_64
            return
        flags |= _CODE_32 if self.cs.flags & DEFAULT_32 else _ADD_SEGMENT
        flags |= _STACK_32 if self.ss.flags & DEFAULT_32 else 0
        flags |= _ADD_SEGMENT if self.ds.base | self.es.base | self.ss.base else 0
        self.hflags = flags


_GENERAL = struct.Struct(f"<{len(GENERAL_REGISTERS)}Q")
_SEGMENT_REGISTERS_AT = vars(ProcessorState)["_es"].offset
_SEGMENT_REGISTERS_BYTES = len(SEGMENT_REGISTERS) * ctypes.sizeof(SegmentRegister)
_SYSTEM_REGISTERS_AT, _SYSTEM_REGISTERS_BYTES = vars(ProcessorState)["_ldtr"].offset, ctypes.sizeof(SystemRegisters)
_TABLE_REGISTERS_BYTES = 4 * ctypes.sizeof(SegmentRegister)
