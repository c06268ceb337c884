"""Nothing runs while tests are collected, and test files do not need one another."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

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


def test_a_test_file_cannot_choose_the_profile_of_all_tests() -> None:
    settings.register_profile("own", settings.get_profile("any host"))
    profile = settings.get_current_profile_name()
    try:
        with pytest.raises(AssertionError, match="a test file loads 'own' for all tests"), nothing_runs():
            settings.load_profile("own")
    finally:
        settings.load_profile(profile)


def test_no_test_file_imports_another() -> None:
    """What two of them need has a module of its own."""
    root = Path(__file__).parent
    found = [
        f"{path.relative_to(root)}: {node.module}"
        for path in sorted(root.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\btest_", f"{node.module}")
    ]
    assert not found
