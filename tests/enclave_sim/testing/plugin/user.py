"""A user's tests, run by pytest with the plugin."""

from importlib import metadata

import hypothesis  # noqa: F401 - so that no run imports it anew, which takes a second
import pytest
import unicorn  # noqa: F401 - importing it a second time leaves it half made

INSTALLED = any(point.name == "enclave_sim" for point in metadata.entry_points(group="pytest11"))
PLUGIN = [] if INSTALLED else ["-p", "enclave_sim.testing.plugin"]
"""An installed plugin is loaded automatically, and must not be loaded twice."""
FAULT = "inputs=[MemoryFault(at_ns=at, address=0x30_0000, bits=1)]"
PRELUDE = """
import pytest
from hypothesis import Phase, given, settings, strategies as st
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import MemoryFault
from enclave_sim.testing import assert_zero_trace
settings.register_profile("any host", deadline=None)
settings.load_profile("any host")
quickly = settings(max_examples=20, database=None, phases=[Phase.generate, Phase.shrink])
"""


class Runner:
    """Runs a user's tests with the plugin."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, tests: str, *arguments: str, process: bool = False) -> pytest.RunResult:
        self.pytester.makepyfile(test_user=tests)
        how = self.pytester.runpytest_subprocess if process else self.pytester.runpytest_inprocess
        return how(*PLUGIN, *arguments)


def text(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)
