"""Unicorn's C functions for hot paths, with our own prototypes.

The binding declares pointer types, which ctypes checks at each call, and that takes longer than the call itself. Here
every pointer is a plain address; `handle` is `engine_handle(uc)`.
"""

from ctypes import CFUNCTYPE, c_int, c_size_t, c_uint64, c_void_p

from unicorn import UC_CTL_IO_WRITE, UC_CTL_TLB_FLUSH, Uc
from unicorn.unicorn_py3.unicorn import uclib

emu_start = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64, c_uint64, c_size_t)(("uc_emu_start", uclib))
"""(handle, begin, until, timeout, count) -> error."""
context_save = CFUNCTYPE(c_int, c_void_p, c_void_p)(("uc_context_save", uclib))
"""(handle, context) -> error."""
context_restore = CFUNCTYPE(c_int, c_void_p, c_void_p)(("uc_context_restore", uclib))
"""(handle, context) -> error."""
control = CFUNCTYPE(c_int, c_void_p, c_int)(("uc_ctl", uclib))
"""(handle, control) -> error. Only for controls without arguments: the C function is variadic."""
TLB_FLUSH = UC_CTL_IO_WRITE << 30 | UC_CTL_TLB_FLUSH
vmem_read = CFUNCTYPE(c_int, c_void_p, c_uint64, c_int, c_void_p, c_size_t)(("uc_vmem_read", uclib))
"""(handle, linear address, access, bytes, size) -> error. The binding's prototype truncates the address to 32 bits."""
vmem_translate = CFUNCTYPE(c_int, c_void_p, c_uint64, c_int, c_void_p)(("uc_vmem_translate", uclib))
"""(handle, linear address, access, physical address) -> error."""


def engine_handle(uc: Uc) -> int:
    """Return the address of the engine. The caller must keep `uc` alive while it uses the address."""
    return int(uc._uch.value)
