"""The plugin is tested with runs of pytest of its own."""

import pytest

from tests.enclave_sim.testing.plugin.user import Runner


@pytest.fixture
def run(pytester: pytest.Pytester) -> Runner:
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nfilterwarnings = ["error"]\naddopts = "--strict-markers"')
    return Runner(pytester)
