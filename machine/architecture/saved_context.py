"""The processor's complete state as saved by Unicorn, including the manual's hidden parts.

Unicorn's register interface reaches only the visible part: writing CS through it changes the selector, but neither the
segment's cached descriptor nor the privilege level. A saved context contains everything, and restoring it restores
everything. So while the engine is stopped, its state is in a `ProcessorState` mapped onto a saved context, and
`restore` gives it back before the engine continues.

The layout is QEMU's `CPUX86State`; its exception fields before and after the debug registers are used too. The layout
is found and checked when an engine is created, by searching for values written to registers. A Unicorn with another
layout is refused.
"""

import ctypes
import re
import struct
from collections.abc import Mapping
from typing import Any

from unicorn import Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.architecture.processor_state import ProcessorState
from machine.architecture.unicorn_ffi import context_restore, context_save, engine_handle
from machine.errors import EmulatorFault

_NONE_PENDING = -1
_FLAGS_COMPUTED = 1  # CC_OP_EFLAGS
_MARK = 0x5EA2_C4ED_0B5E_55ED
_VECTOR_MARK = 0x0DDB_A115_600D_F00D_5EA2_C4ED_0B5E_0000
_X87_MARK, _X87_TAGS, _BEFORE_FP0, _X87_POINTERS = 0x3A5C, 8, 20, 24
X87_BYTES = _BEFORE_FP0 + 8 * 16 + _X87_POINTERS
X87_CLEAR = struct.pack("<IHH8s4x", 0, 0, 0x37F, bytes([1] * 8)) + bytes(8 * 16 + _X87_POINTERS)
"""`SavedContext.x87` when all registers are zero after FNINIT."""
_MXCSR_DEFAULT, _MXCSR_FLAGS, _MXCSR_ROUNDING, _FLUSH_TO_ZERO, _DENORMALS_ARE_ZEROS = 0x1F80, 0x3D, 13, 1 << 15, 1 << 6
_FLAGS_AFTER_ROUNDING, _DAZ_AFTER_ROUNDING = 1, 4  # in `float_status`
_KERNEL_GS_BASE = 0xC000_0102
_HOST_ADDRESS_BYTES = 8
_VECTORS, _VECTOR_BYTES = 16, 16
_BEFORE_DR1 = 24  # error_code, exception_is_int, exception_next_eip, DR0
_OLD_EXCEPTION = 7 * 8 + 4 * 8  # from DR1 on: DR1-DR7, the four pointers
_CR2_AT: int = vars(ProcessorState)["_cr"].offset + 2 * 8
_NONZERO = re.compile(rb"[^\0]")


class SavedContext:
    """One engine's saved context, with the structures mapped onto it.

    Args:
        uc: The engine. The context must not outlive it.

    Raises:
        EmulatorFault: Unicorn has another layout than expected, or no memory for a context.
    """

    def __init__(self, uc: Uc) -> None:
        self._engine = engine_handle(uc)
        self._allocation = ctypes.c_void_p()
        size = uclib.uc_context_size(uc._uch)
        if uclib.uc_context_alloc(uc._uch, ctypes.byref(self._allocation)) or not self._allocation.value:
            raise EmulatorFault("Unicorn cannot save its state")
        self.address: int = self._allocation.value
        content = self._content = (ctypes.c_char * size).from_address(self.address)
        self._bytes = memoryview(content).cast("B")
        marks = {f"R{number}": _MARK ^ number for number in range(8, 16)}
        vectors = {"XMM0": _VECTOR_MARK, "XMM1": _VECTOR_MARK + 1, "XMM15": _VECTOR_MARK + 2}
        self._save_marks(uc, marks | {"DR1": _MARK} | vectors)
        first, second, last = (self._offset(content, mark.to_bytes(16, "little")) for mark in vectors.values())
        self._vectors = (first, last - first + second - first)
        self._vector_pitch = second - first
        state_at = self._offset(content, struct.pack("<8Q", *marks.values())) - ProcessorState.r8.offset
        debug_at = self._offset(content, struct.pack("<Q", _MARK))
        self._start = state_at
        self.registers = ProcessorState.from_buffer(content, state_at)
        self.cr2 = ctypes.c_uint64.from_buffer(content, state_at + _CR2_AT)
        self._error = (ctypes.c_int32 * 2).from_buffer(content, debug_at - _BEFORE_DR1)
        self._following = ctypes.c_uint64.from_buffer(content, debug_at - _BEFORE_DR1 + 8)
        self._old_exception = ctypes.c_int32.from_buffer(content, debug_at + _OLD_EXCEPTION)
        uc.reg_write(x86_const.UC_X86_REG_FP0, (_MARK, _X87_MARK))
        uc.reg_write(x86_const.UC_X86_REG_FPCW, 0x37F)
        uc.msr_write(_KERNEL_GS_BASE, _MARK ^ 1)
        self.save()
        gs_at = self._offset(content, struct.pack("<Q", _MARK ^ 1))
        self._kernel_gs_base = ctypes.c_uint64.from_buffer(content, gs_at)
        uc.msr_write(_KERNEL_GS_BASE, 0)
        self._x87 = self._offset(content, struct.pack("<QH", _MARK, _X87_MARK)) - _BEFORE_FP0
        uc.reg_write(x86_const.UC_X86_REG_FP0, (0, 0))
        self._find_simd_state(uc)
        self._check(uc)

    def _find_simd_state(self, uc: Uc) -> None:
        """Find MXCSR and the fields that Unicorn derives from it, by the bytes that change when it is written."""

        def changed_by(value: int) -> list[int]:
            uc.reg_write(x86_const.UC_X86_REG_MXCSR, _MXCSR_DEFAULT)
            self.save()
            before = self._content.raw
            uc.reg_write(x86_const.UC_X86_REG_MXCSR, _MXCSR_DEFAULT ^ value)
            self.save()
            return _differences(before, self._content.raw)

        rounding = changed_by(3 << _MXCSR_ROUNDING)
        zeros = changed_by(_DENORMALS_ARE_ZEROS)
        flushing = changed_by(_FLUSH_TO_ZERO)
        uc.reg_write(x86_const.UC_X86_REG_MXCSR, _MXCSR_DEFAULT)
        self.save()
        common = set(rounding) & set(flushing)  # the byte of MXCSR that has both
        if len(rounding) != 2 or len(zeros) != 2 or len(flushing) != 2 or len(common) != 1:
            raise EmulatorFault("this version of Unicorn lays out its SSE state in an unknown way")
        (second_byte,) = common
        (rounding_at,) = set(rounding) - common
        (zeros_at,) = set(zeros) - {second_byte - 1}
        (self._x87_flushing,) = set(flushing) - common
        if zeros_at - rounding_at != _DAZ_AFTER_ROUNDING:
            raise EmulatorFault("this version of Unicorn lays out its SSE status in an unknown way")
        self._mxcsr = ctypes.c_uint32.from_buffer(self._content, second_byte - 1)
        self._simd_status = (ctypes.c_uint8 * (_DAZ_AFTER_ROUNDING + 1)).from_buffer(self._content, rounding_at)

    @staticmethod
    def _offset(content: "ctypes.Array[ctypes.c_char]", mark: bytes) -> int:
        if content.raw.count(mark) != 1:
            raise EmulatorFault("this version of Unicorn lays out its processor state in an unknown way")
        return content.raw.index(mark)

    def _save_marks(self, uc: Uc, marks: Mapping[str, int]) -> None:
        ids = {name: getattr(x86_const, f"UC_X86_REG_{name}") for name in marks}
        for name, mark in marks.items():
            uc.reg_write(ids[name], mark)
        self.save()
        for name in marks:
            uc.reg_write(ids[name], 0)

    def _check(self, uc: Uc) -> None:
        """Compare fields of the structure with the values that the register interface returns."""
        self.save()
        state = self.registers
        expected = [
            uc.reg_read(number)
            for number in (x86_const.UC_X86_REG_CR0, x86_const.UC_X86_REG_CR4, x86_const.UC_X86_REG_RSP)
        ]
        efer = uc.msr_read(0xC000_0080)
        if [state.cr[0], state.cr[4], state.rsp, state.efer] != [*expected, efer] or state.direction != 1:
            raise EmulatorFault("this version of Unicorn lays out its registers in an unknown way")
        control_word = uc.reg_read(x86_const.UC_X86_REG_FPCW)
        if int.from_bytes(self.x87[6:8], "little") != control_word:
            raise EmulatorFault("this version of Unicorn lays out its x87 registers in an unknown way")
        if self._old_exception.value != _NONE_PENDING:
            raise EmulatorFault("this version of Unicorn lays out its exception state in an unknown way")

    def save(self) -> None:
        """Copy the engine's state into this context."""
        context_save(self._engine, self.address)

    def restore(self) -> None:
        """Copy this context into the engine.

        In `old_exception` Unicorn remembers a fault until its delivery ends. Unicorn never delivers one here, so the
        field is cleared. Otherwise Unicorn would turn the next fault into a double fault. It also remembers INT, and
        some faults of fetches do not change that.
        """
        self._old_exception.value = _NONE_PENDING
        self._error[1] = 0
        context_restore(self._engine, self.address)

    def keep_flags(self) -> None:
        """Tell a running engine, in a callback, that it has computed the arithmetic flags."""
        self.save()
        if self.registers.cc_op != _FLAGS_COMPUTED:
            self.registers.cc_op = _FLAGS_COMPUTED
            context_restore(self._engine, self.address)

    @property
    def vector_registers(self) -> bytes:
        """XMM0 to XMM15 in order, 16 bytes each.

        Unicorn's registers are wider, but no instruction here reaches the rest. Some of its helpers leave bytes of the
        host's stack there.
        """
        start, length = self._vectors
        kept, step = ctypes.string_at(self.address + start, length), length // _VECTORS
        return b"".join([kept[at : at + _VECTOR_BYTES] for at in range(0, length, step)])

    @vector_registers.setter
    def vector_registers(self, content: bytes) -> None:
        start, _ = self._vectors
        bytes_, at, pitch = self._bytes, start, self._vector_pitch
        for first in range(0, len(content), _VECTOR_BYTES):
            bytes_[at : at + _VECTOR_BYTES] = content[first : first + _VECTOR_BYTES]
            at += pitch

    def read_vector(self, number: int) -> int:
        """Return XMM`number` (0 to 15), a 128-bit integer."""
        start, _ = self._vectors
        return int.from_bytes(ctypes.string_at(self.address + start + self._vector_pitch * number, 16), "little")

    def write_vector(self, number: int, value: int) -> None:
        """Set XMM`number` (0 to 15) to a 128-bit integer."""
        start, _ = self._vectors
        ctypes.memmove(self.address + start + self._vector_pitch * number, value.to_bytes(16, "little"), 16)

    @property
    def x87_state(self) -> memoryview:
        """The complete x87 state, writable in place; machine/instructions/floating_point/state.py has the layout."""
        return self._bytes[self._x87 : self._x87 + X87_BYTES]

    def read_mmx(self, number: int) -> int:
        """Return MM`number` (0 to 7), a 64-bit integer."""
        return int.from_bytes(ctypes.string_at(self._x87_register(number), 8), "little")

    def write_mmx(self, number: int, value: int) -> None:
        """Set MM`number`; the exponent of the x87 register becomes all ones (SDM volume 1, 9.6.2)."""
        ctypes.memmove(self._x87_register(number), struct.pack("<QH", value, 0xFFFF), 10)

    def enter_mmx(self) -> None:
        """Set TOP to 0 and all tags to valid, as MMX instructions do (SDM volume 1, 9.5.1)."""
        ctypes.memset(self.address + self._x87, 0, 4)
        ctypes.memset(self.address + self._x87 + _X87_TAGS, 0, 8)

    def _x87_register(self, number: int) -> int:
        return self.address + self._x87 + _BEFORE_FP0 + 16 * number

    @property
    def mxcsr(self) -> int:
        """MXCSR (SDM volume 1, 10.2.3); its flags are complete after `collect_simd_flags`."""
        return self._mxcsr.value

    @mxcsr.setter
    def mxcsr(self, value: int) -> None:
        self._mxcsr.value = value
        status = self._simd_status
        status[0] = value >> _MXCSR_ROUNDING & 3  # the same encoding
        status[_FLAGS_AFTER_ROUNDING] = 0
        status[_DAZ_AFTER_ROUNDING] = bool(value & _DENORMALS_ARE_ZEROS)
        self._content[self._x87_flushing] = b"\0"

    def collect_simd_flags(self) -> None:
        """Set the exception flags raised by instructions since the last call in MXCSR.

        Unicorn keeps them elsewhere, as the same bits, and never reads them.
        """
        raised = self._simd_status[_FLAGS_AFTER_ROUNDING]
        if raised:
            self._mxcsr.value |= raised & _MXCSR_FLAGS
            self._simd_status[_FLAGS_AFTER_ROUNDING] = 0

    @property
    def x87(self) -> bytes:
        """Top of stack, status, control and tag words, the eight registers and the pointers, in Unicorn's layout."""
        return ctypes.string_at(self.address + self._x87, X87_BYTES)

    @property
    def parts(self) -> dict[str, int]:
        """The addresses of the parts that native code changes when it enters the engine (native/entering.h)."""
        structures: dict[str, Any] = {"registers": self.registers, "cr2": self.cr2, "mxcsr_now": self._mxcsr}
        structures |= {"met": self._error, "old_exception": self._old_exception, "simd_raised": self._simd_status}
        found = {name: ctypes.addressof(structure) for name, structure in structures.items()}
        found["simd_raised"] += _FLAGS_AFTER_ROUNDING
        found["x87"] = self.address + self._x87
        return found

    @property
    def kernel_gs_base(self) -> int:
        """IA32_KERNEL_GS_BASE."""
        return self._kernel_gs_base.value

    @property
    def content(self) -> bytes:
        """The complete state in Unicorn's layout, without the process addresses before and after it."""
        content = bytearray(self._content.raw[self._start : -_HOST_ADDRESS_BYTES])
        start, length = self._vectors
        step = length // _VECTORS
        for at in range(start - self._start, start - self._start + length, step):
            content[at + _VECTOR_BYTES : at + step] = bytes(step - _VECTOR_BYTES)
        return bytes(content)

    @content.setter
    def content(self, content: bytes) -> None:
        ctypes.memmove(self.address + self._start, content, len(content))

    @property
    def interrupt_met(self) -> tuple[bool, int, int]:
        """The last interrupt reported by Unicorn: True for an INT instruction, error code, address after INT."""
        error_code, is_int = self._error
        return bool(is_int), error_code, self._following.value

    def __del__(self) -> None:
        uclib.uc_context_free(self._allocation)


def _differences(one: bytes, other: bytes) -> list[int]:
    """Return the offsets of the bytes in which two strings of the same length differ."""
    differing = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return [found.start() for found in _NONZERO.finditer(differing.to_bytes(len(one), "little"))]
