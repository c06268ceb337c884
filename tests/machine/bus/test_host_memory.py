"""Memory of the host."""

import resource
import subprocess
import sys

import pytest

from machine.bus.host_memory import LINUX

LIMIT = 1 << 31
"""Bytes of address space that the interpreter needs less than, and the room beyond RAM more."""
PROGRAM = """
from machine.bus.host_memory import HostMemory
from machine.errors import MachineError
try:
    HostMemory(4096, 1 << 33)
except MachineError as error:
    print(error)
"""


@pytest.mark.skipif(not LINUX, reason="only Linux reserves address space")
def test_a_limit_of_address_space_is_one_clear_error() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )
    needed = 4096 + (1 << 33)
    assert ended.stdout == f"the host does not allow {needed} bytes of address space; `ulimit -v` shows its limit\n"
