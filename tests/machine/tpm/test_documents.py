"""docs/tpm.md is correct."""

import re
from pathlib import Path

from machine.devices.tpm_crb import EXECUTION_NS, SIMPLE_NS
from machine.tpm.commands import COMMANDS
from machine.tpm.constants import Code

PAGE = (Path(__file__).parents[3] / "docs/tpm.md").read_text()


def test_every_command_is_on_the_page() -> None:
    assert COMMANDS.keys() == set(Code)
    names = [code.name.title().replace("_", "").replace("Pcr", "PCR_") for code in Code]
    assert [name for name in names if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_times_of_commands_are_on_the_page() -> None:
    (simple, others) = re.findall(
        r"A command takes (\d+) µs of virtual time, TPM2_CreatePrimary and TPM2_Quote (\d+) µs", PAGE
    )[0]
    assert int(simple) * 1000 == SIMPLE_NS
    assert {Code.CREATE_PRIMARY: int(others) * 1000, Code.QUOTE: int(others) * 1000} == EXECUTION_NS
