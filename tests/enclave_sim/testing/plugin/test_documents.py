"""docs/testing.md names all options and fixtures."""

import inspect
import re
from pathlib import Path

from enclave_sim.testing import assertions
from tests.enclave_sim.testing.plugin.user import Runner, text

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[4] / "docs/testing.md").read_text()


def test_every_assertion_fixture_and_guarantee_is_on_the_page(run: Runner) -> None:
    asserting = {name for name, _ in inspect.getmembers(assertions, inspect.isfunction) if name.startswith("assert_")}
    assert {name for name in asserting if f"| `{name}(" not in PAGE} == set()
    fixtures = re.findall(r"^(\w+) \[session scope\] -- .*enclave_sim", text(run("", "--fixtures")), re.M)
    assert sorted(fixtures) == ["enclave", "machine", "observed", "recording"]
    assert [name for name in fixtures if f"| `{name}` | `{name}(" not in PAGE] == []
    (guarantees,) = re.findall(r"enclave_guarantees\(\*names\): .*: (.*)$", text(run("", "--markers")), re.M)
    assert [name for name in guarantees.split(", ") if f"`{name}`" not in PAGE] == []
