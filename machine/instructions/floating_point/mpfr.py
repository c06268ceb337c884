"""Loads gmpy2 without its handler of SIGFPE, which it installs for the whole process when it is imported.

It would report that a number of GMP overflows, which numbers here are far from. But the handler that was there may be
needed: where WebAssembly is executed in this process, a division by zero is a trap because of one.
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
