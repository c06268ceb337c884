"""Nothing runs while tests are collected."""

import subprocess
import sys

import pytest

from enclave_sim import Enclave
from machine.machine import Machine, MachineConfiguration
from tests.collecting import nothing_runs


def test_machines_enclaves_and_processes_are_refused_and_afterwards_made() -> None:
    with nothing_runs():
        for make in (
            lambda: Machine(MachineConfiguration(1 << 20)),
            lambda: Enclave("counter"),
            lambda: subprocess.run([sys.executable, "--version"], check=True),
        ):
            with pytest.raises(AssertionError, match="while tests are collected"):
                make()
    assert Machine(MachineConfiguration(1 << 20)).cpu.rip
    assert Enclave("counter").machine.cpu.rip
