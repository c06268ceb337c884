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


UNICORN = """
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration
try:
    Machine(MachineConfiguration(1 << 20))
except MachineError as error:
    print(error)
"""


def run(program: str, limit: int) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    return ended.stdout


@pytest.mark.skipif(not LINUX, reason="only Linux reserves address space")
def test_a_limit_of_address_space_is_one_clear_error() -> None:
    needed = 4096 + (1 << 33)
    assert (
        run(PROGRAM, LIMIT) == f"the host does not allow {needed} bytes of address space; `ulimit -v` shows its limit\n"
    )


@pytest.mark.skipif(not LINUX, reason="only Linux reserves address space")
def test_a_limit_that_unicorn_would_end_the_process_at_is_that_error_too() -> None:
    assert "bytes of address space; `ulimit -v` shows its limit\n" in run(UNICORN, 1 << 30)


@pytest.mark.skipif(not LINUX, reason="only Linux reserves address space")
def test_signatures_of_the_tpm_reserve_none() -> None:
    key = "from machine.tpm.mldsa.signer import mldsa65_signer; print(len(mldsa65_signer(bytes(32)).public_key))"
    assert run(key, LIMIT) == "1952\n"
