"""A limit in seconds of the host for a user's tests, which are the quoted ones."""

import pytest

from tests.enclave_sim.testing.plugin.user import PRELUDE, Runner, text

pytest_plugins = ["pytester"]
SOON = "0.000000001"

TESTS = f"""{PRELUDE}
from hypothesis import given, strategies as st
from machine.machine import Outcome
def test_runs(enclave):
    enclave("counter").run()
@given(st.integers(1, 2))
def test_examples(enclave, cycles):
    enclave("counter", cycles=cycles).run()
def test_without_a_run(enclave):
    enclave("counter")
@pytest.mark.enclave_host_limit(60)
def test_with_its_own(enclave):
    enclave("counter").run()
"""


@pytest.mark.slow
def test_the_option_limits_each_test_and_a_marker_says_otherwise(run: Runner) -> None:
    run(TESTS).assert_outcomes(passed=4)
    result = run(TESTS, "--enclave-host-limit", SOON)
    result.assert_outcomes(passed=2, failed=2)
    assert "HostLimitReached: the host limit is reached at 0 ns of virtual time" in text(result)


def test_a_marker_limits_one_test(run: Runner) -> None:
    tests = f"""{PRELUDE}
@pytest.mark.enclave_host_limit({SOON})
def test_limited(enclave):
    enclave("counter").run()
def test_not_limited(enclave):
    enclave("counter").run()
"""
    run(tests).assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize("arguments", ["", "0", "-1", "1, 2", "seconds=1", "'1s'"])
def test_a_marker_that_says_nothing_sensible_is_a_failure(run: Runner, arguments: str) -> None:
    result = run(f"{PRELUDE}\n@pytest.mark.enclave_host_limit({arguments})\ndef test_it(): pass\n")
    result.assert_outcomes(failed=1)
    assert "takes one number of seconds, more than 0" in text(result)


def test_an_option_without_time_is_an_error(run: Runner) -> None:
    result = run("def test_it(): pass\n", "--enclave-host-limit", "0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --enclave-host-limit: 0.0 s leaves no time; it must be more than 0"])
