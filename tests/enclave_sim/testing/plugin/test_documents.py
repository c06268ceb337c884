"""The tests in docs/testing.md do what the page says."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.testing import assertions
from tests.enclave_sim.testing.plugin.user import Runner, text

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "testing.md").read_text()
BLOCKS = {block.split()[1]: block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S)}
FAILS = "test_upset.py"
NEEDS_A_KERNEL = "test_kernel.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BLOCKS.keys() - {FAILS, NEEDS_A_KERNEL}))
def test_what_the_page_shows_passes(run: Runner, name: str) -> None:
    outcomes = run(BLOCKS[name]).parseoutcomes()
    assert outcomes.keys() == {"passed"}


def test_what_fails_says_what_the_page_shows(run: Runner) -> None:
    result = run(BLOCKS[FAILS])
    result.assert_outcomes(failed=1)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.S)
    assert shown in text(result)


def test_the_kernel_of_the_other_page_greets(run: Runner) -> None:
    page = (DOCS / "boot.md").read_text()
    for language, name in (("asm", "kernel.S"), ("ld", "link.ld")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", page, re.S)
        Path(name).write_text(block)
    (command,) = re.findall(r"^python (-m ziglang .*)$", page, re.M)
    subprocess.run([sys.executable, *command.split()], check=True)
    run(BLOCKS[NEEDS_A_KERNEL]).assert_outcomes(passed=1)


def test_every_assertion_fixture_and_guarantee_is_on_the_page(run: Runner) -> None:
    asserting = {name for name, _ in inspect.getmembers(assertions, inspect.isfunction) if name.startswith("assert_")}
    assert {name for name in asserting if f"| `{name}(" not in PAGE} == set()
    fixtures = re.findall(r"^(\w+) \[session scope\] -- .*enclave_sim", text(run("", "--fixtures")), re.M)
    assert sorted(fixtures) == ["enclave", "machine", "observed", "recording"]
    assert [name for name in fixtures if f"| `{name}` | `{name}(" not in PAGE] == []
    (guarantees,) = re.findall(r"enclave_guarantees\(\*names\): .*: (.*)$", text(run("", "--markers")), re.M)
    assert [name for name in guarantees.split(", ") if f"`{name}`" not in PAGE] == []
