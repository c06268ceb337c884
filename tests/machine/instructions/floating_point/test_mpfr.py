"""Loading MPFR does not change the process's signal handlers."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, signal, sys
current = ctypes.create_string_buffer(256)
def handler():
    ctypes.CDLL(None).sigaction(signal.SIGFPE, None, current)
    return ctypes.c_void_p.from_buffer(current).value
before = handler()
import machine.instructions.floating_point.elementary as elementary
assert "gmpy2" in sys.modules
elementary.sine((3, -1))
print(before == handler())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_handler_of_sigfpe_stays() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("True\n", "")
