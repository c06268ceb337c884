"""Machines that execute user-mode programs, one per instruction hook."""

import pytest

from tests.machine.assembler import Assembler
from tests.machine.instructions.programs import UserMachine


@pytest.fixture(scope="session")
def native_machine(assembler: Assembler) -> UserMachine:
    """With the native instruction hook, if this host has one."""
    return UserMachine(assembler)


@pytest.fixture(scope="session")
def portable_machine(assembler: Assembler) -> UserMachine:
    """With the portable instruction hook."""
    return UserMachine(assembler, portable=True)


@pytest.fixture(params=["native", pytest.param("portable", marks=pytest.mark.slow)])
def user_machine(
    request: pytest.FixtureRequest, native_machine: UserMachine, portable_machine: UserMachine
) -> UserMachine:
    """Each of them."""
    return native_machine if request.param == "native" else portable_machine
