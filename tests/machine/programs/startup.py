"""The code that takes the processor from the loader's state to a program (SDM volume 3, 9.8.5).

It runs once for each mode, ring and value of CR0 and CR4. The part after LAUNCH runs before each program: it loads x87
and SSE registers from memory, and returns to the program through a prepared frame.
"""

import struct

from machine.architecture.control_registers import CR0_EM, CR0_PG, CR0_TS
from tests.machine.programs import layout
from tests.machine.programs.program import Mode
from tests.machine.programs.tables import PDPT_PAE, PML4

_EFER, _LME, _NXE = 0xC000_0080, 1 << 8, 1 << 11
_MOV_TO_CR0, _MOV_TO_CR3, _MOV_TO_CR4 = b"\x0f\x22\xc0", b"\x0f\x22\xd8", b"\x0f\x22\xe0"
_DS, _ES, _SS, _FS, _GS = (b"\x8e" + bytes([0xC0 | number << 3]) for number in (3, 0, 2, 4, 5))
_WRMSR, _LTR = b"\x0f\x30", b"\x0f\x00\xd8"
_FX = {True: b"\x0f\xae", False: b"\x36\x0f\xae"}
"""FXRSTOR, FXSAVE: through SS in 32-bit code, where DS may be null."""
_LGDT, _LIDT = b"\x0f\x01\x15", b"\x0f\x01\x1d"
_POINTERS = layout.BOOT + 0x800
SAVE = layout.STARTUP + 0x800
"""FXSAVE and HLT: stores the program's x87 and SSE state in readable memory."""


def _eax(value: int) -> bytes:
    return b"\xb8" + struct.pack("<I", value)


def _operand(extension: int, address: int, *, long: bool) -> bytes:
    """ModRM (and SIB) of an extension of the opcode and memory at a constant address."""
    modrm, sib = (4, b"\x25") if long else (5, b"")
    return bytes([modrm | extension << 3]) + sib + struct.pack("<I", address)


def boot_page(mode: Mode, cr0: int, cr4: int) -> bytes:
    """The code at layout.BOOT: turns paging on and jumps to layout.STARTUP."""
    long = mode is not Mode.PROTECTED
    gdt_limit, idt_limit = 0xFF, 0xFFF if long else 0x7FF
    code = _eax(cr4) + _MOV_TO_CR4 + _eax(PML4 if long else PDPT_PAE) + _MOV_TO_CR3
    code += b"\xb9" + struct.pack("<I", _EFER) + b"\x31\xd2" + _eax(_NXE | (_LME if long else 0)) + _WRMSR
    code += _LGDT + struct.pack("<I", _POINTERS) + _LIDT + struct.pack("<I", _POINTERS + 8)
    code += _eax(cr0 & ~(CR0_TS | CR0_EM) | CR0_PG) + _MOV_TO_CR0
    selector = layout.KERNEL_CODE_64 if long else layout.KERNEL_CODE_32
    code += b"\xea" + struct.pack("<IH", layout.STARTUP, selector)
    return code.ljust(0x800, b"\xcc") + struct.pack("<HIxxHI", gdt_limit, layout.GDT, idt_limit, layout.IDT)


def _loads(selector: int) -> bytes:
    """Load segment and task registers."""
    code = _eax(layout.KERNEL_DATA) + _SS + _eax(layout.TASK) + _LTR
    return code + _eax(selector) + _DS + _ES + _FS + _GS


def data_selector(mode: Mode, ring: int) -> int:
    """The default. In 64-bit mode it is null, as in a Linux process."""
    if mode is Mode.LONG:
        return 0
    return layout.USER_DATA if ring == 3 else layout.KERNEL_DATA


LAUNCH = layout.STARTUP + len(_loads(0))
"""The address of the code that runs for each program."""


def startup_page(mode: Mode, selector: int, cr0: int) -> bytes:
    """The code at layout.STARTUP. A program's RAX is below the frame."""
    long = mode is not Mode.PROTECTED
    code = _loads(selector) + _FX[long] + _operand(1, layout.FX_IN, long=long)
    if cr0 & (CR0_TS | CR0_EM):
        code += _eax(cr0) + _MOV_TO_CR0
    code += b"\x58" + (b"\x48\xcf" if long else b"\xcf")
    return code.ljust(SAVE - layout.STARTUP, b"\xcc") + _FX[long] + _operand(0, layout.FX_OUT, long=long) + b"\xf4"


def launch_length(cr0: int) -> int:
    """Instructions from LAUNCH to the program's first one."""
    return 5 if cr0 & (CR0_TS | CR0_EM) else 3


def frame(mode: Mode, ring: int, rax: int, rsp: int, rflags: int) -> bytes:
    """The content of layout.FRAME: RAX, and the frame for IRET."""
    code = {
        (Mode.LONG, 0): layout.KERNEL_CODE_64,
        (Mode.LONG, 3): layout.USER_CODE_64,
        (Mode.COMPATIBILITY, 0): layout.KERNEL_CODE_32,
        (Mode.COMPATIBILITY, 3): layout.USER_CODE_32,
        (Mode.PROTECTED, 0): layout.KERNEL_CODE_32,
        (Mode.PROTECTED, 3): layout.USER_CODE_32,
    }[mode, ring]
    data = layout.USER_DATA if ring == 3 else layout.KERNEL_DATA
    if mode is Mode.PROTECTED:
        words = (rax, layout.CODE, code, rflags, rsp, data)
        return struct.pack("<6I", *(word & 0xFFFF_FFFF for word in words))
    return struct.pack("<6Q", rax, layout.CODE, code, rflags, rsp, data)
