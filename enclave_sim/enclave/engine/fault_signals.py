"""Keeps wasmtime's signal handlers first, so that a guest's fault becomes a trap.

wasmtime installs them with the first engine of the process, and never again. Python's faulthandler ends the process at
any fault that it sees first, so their order matters. This module finds wasmtime's handlers, and reinstalls them if
others have been installed since. They pass on other faults.
"""

import ctypes
import faulthandler
import signal
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_void_p

from wasmtime import _ffi as ffi

_STDERR = 2
_SIGACTION_BYTES = 256
"""More than `struct sigaction` has on any system. The handler is its first field."""
_SIGNALS = (signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, *((signal.SIGBUS,) if hasattr(signal, "SIGBUS") else ()))

_found: dict[int, "ctypes.Array[ctypes.c_char]"] = vars(sys).setdefault("_wasmtime_signal_actions", {})
"""wasmtime's actions, by signal. They are process-wide, because this module may be imported again, as by pytester."""
_now = ctypes.create_string_buffer(_SIGACTION_BYTES)


class _DlInfo(Structure):
    """Dl_info (dladdr(3))."""

    _fields_ = [("file", c_char_p), ("base", c_void_p), ("symbol", c_char_p), ("address", c_void_p)]


def let_wasmtime_handle_faults() -> None:
    """Install wasmtime's handlers so that they are called first. An engine must already exist in this process."""
    if sys.platform == "win32":
        return
    if not _found:
        _find()
    for number, action in _found.items():
        _libc.sigaction(number, None, _now)  # into a buffer made once, because this is done for each guest
        if _handler(_now) != _handler(action):
            _libc.sigaction(number, action, None)


def _find() -> None:
    """Find the handlers: they are installed, or were replaced by a faulthandler enabled after them."""
    if not _note() and faulthandler.is_enabled():
        faulthandler.disable()
        _note()
    if not faulthandler.is_enabled():
        faulthandler.enable(_STDERR)  # so that nobody enables it later and replaces wasmtime's handlers


def _note() -> bool:
    for number in _SIGNALS:
        action = _current(number)
        if _is_wasmtimes(_handler(action)):
            _found[number] = action
    return bool(_found)


def _current(number: int) -> "ctypes.Array[ctypes.c_char]":
    action = ctypes.create_string_buffer(_SIGACTION_BYTES)
    _libc.sigaction(number, None, action)
    return action


def _handler(action: "ctypes.Array[ctypes.c_char]") -> int:
    return c_void_p.from_buffer(action).value or 0


def _is_wasmtimes(handler: int) -> bool:
    there, ours = _DlInfo(), _DlInfo()
    known = ctypes.cast(ffi.dll.wasm_engine_new, c_void_p)
    return bool(_libc.dladdr(handler, byref(there)) and _libc.dladdr(known, byref(ours)) and there.base == ours.base)


if sys.platform != "win32":
    _libc = ctypes.CDLL(None)
    _libc.sigaction.argtypes = [c_int, c_void_p, c_void_p]
    _libc.dladdr.argtypes = [c_void_p, POINTER(_DlInfo)]
