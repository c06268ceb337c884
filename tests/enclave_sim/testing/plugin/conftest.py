"""The plugin is tested with separate runs of pytest."""

import pytest

from tests.enclave_sim.testing.plugin.user import Runner


@pytest.fixture
def run(pytester: pytest.Pytester) -> Runner:
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nfilterwarnings = ["error"]\naddopts = "--strict-markers"')
    return Runner(pytester)
