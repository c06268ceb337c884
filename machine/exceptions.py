"""Reads from Unicorn what its interrupt hook does not tell: was it INT n or a fault, and which error code.

The processor state that Unicorn can save as a context holds both, beside the debug registers: in QEMU's order
`error_code, exception_is_int` (32 bits each), the next RIP, DR0-DR7, four pointers, `old_exception`. The place is
found by looking for a value put into DR1, so it follows the debug registers wherever they are. The instruction
hook saves the context at the moment of the interrupt.

`old_exception` is Unicorn's note of a fault whose delivery has not finished. Nobody but us finishes one, so it
has to be cleared after each, or the next would be turned into a double fault.
"""

import ctypes
import struct

from unicorn import Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.errors import EmulatorFault
from machine.step_hook import HookState

_MARK = 0x5EA2_C4ED_0B5E_55ED
_BEFORE_DR1 = 24  # error_code, exception_is_int, exception_next_eip, DR0
_OLD_EXCEPTION = 7 * 8 + 4 * 8  # from DR1 on: DR1-DR7, the four pointers
_NONE_PENDING = -1


class ExceptionState:
    """The exception fields of one engine's saved context."""

    def __init__(self, uc: Uc, state: HookState) -> None:
        self._handle = uc._uch
        self._context = ctypes.c_void_p()
        size = uclib.uc_context_size(self._handle)
        if uclib.uc_context_alloc(self._handle, ctypes.byref(self._context)) or not self._context.value:
            raise EmulatorFault("Unicorn cannot save its state")
        content = (ctypes.c_char * size).from_address(self._context.value)
        uc.reg_write(x86_const.UC_X86_REG_DR1, _MARK)
        uclib.uc_context_save(self._handle, self._context)
        uc.reg_write(x86_const.UC_X86_REG_DR1, 0)
        mark = struct.pack("<Q", _MARK)
        if content.raw.count(mark) != 1:
            raise EmulatorFault("this version of Unicorn lays out its processor state in an unknown way")
        at = content.raw.index(mark)
        self._fields = (ctypes.c_int32 * 2).from_buffer(content, at - _BEFORE_DR1)
        self._old_exception = ctypes.c_int32.from_buffer(content, at + _OLD_EXCEPTION)
        if self._old_exception.value != _NONE_PENDING:
            raise EmulatorFault("this version of Unicorn lays out its exception state in an unknown way")
        state.context = self._context.value

    def take(self) -> tuple[bool, int]:
        """Whether the interrupt just met was an INT instruction, and its error code; the fault is then over."""
        error_code, is_int = self._fields
        if self._old_exception.value != _NONE_PENDING:
            self._old_exception.value = _NONE_PENDING
            uclib.uc_context_restore(self._handle, self._context)
        return bool(is_int), error_code

    def __del__(self) -> None:
        uclib.uc_context_free(self._context)
