"""Compiling a module in a process of its own, with limits, before this process does.

The compiler cannot be interrupted, and its time and memory grow with the product of a function's variables and blocks:
a module of 13 kB can take a minute and 15 GB. Run as a program, this compiles the module of standard input.
"""

import resource
import subprocess
import sys
from contextlib import suppress

from wasmtime import Config, Engine, Module, WasmtimeError
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_settings import settings

_SECONDS, _BYTES = 2, 2 << 30
TRIAL_LIMITS = f"{_SECONDS} s of processor time or {_BYTES >> 30} GiB of memory"
"""The limits, in words."""


def compiles_within_limits(module: bytes) -> bool:
    """Report whether the compiler answers within limits of processor time and memory: also if it refuses the module.

    Args:
        module: The module, from someone who is not trusted.

    Returns:
        False if the limits ended the compiler.
    """
    words = (sys.executable, "-P", "-m", __name__)
    ended = subprocess.run(words, input=module, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return ended.returncode == 0


def _main() -> None:
    for limit, most in ((resource.RLIMIT_CPU, _SECONDS), (resource.RLIMIT_AS, _BYTES), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    config = Config()
    for name, value in settings(GuestProfile(0), check_bounds=False).items():
        getattr(ffi, f"wasmtime_config_{name}_set")(config.ptr(), value)
    with suppress(WasmtimeError):  # whoever asks has it refused once more, with the reason
        Module(Engine(config), sys.stdin.buffer.read())


if __name__ == "__main__":
    _main()
