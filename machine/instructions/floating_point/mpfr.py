"""Loads gmpy2 without its SIGFPE handler, which it installs for the whole process at import.

That handler would report the overflow of a GMP number, which never happens here. But it would replace one that may be
needed: if WebAssembly runs in this process, a SIGFPE handler turns a division by zero into a trap.
"""

import ctypes
import signal
import sys

_SIGACTION_BYTES = 256
"""More than `struct sigaction` has on any system."""

if sys.platform == "win32":
    import gmpy2
else:
    _sigaction = ctypes.CDLL(None).sigaction
    _sigaction.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    _before = ctypes.create_string_buffer(_SIGACTION_BYTES)
    _sigaction(signal.SIGFPE, None, _before)
    import gmpy2

    _sigaction(signal.SIGFPE, _before, None)

__all__ = ["gmpy2"]
