"""Coverage by all tests of a session, in one process and in workers."""

import pytest

from tests.enclave_sim.testing.plugin.user import PRELUDE, Runner, text

pytest_plugins = ["pytester"]

TESTS = f"""{PRELUDE}
from enclave_sim import Enclave, Template
def test_fixture(enclave):
    enclave("beacon").run()
def test_own():
    Enclave("trespasser").run()
def test_template():
    template = Template("counter", cycles=2)
    for _ in range(2):
        template.start().run()
def test_kernel_without_lines(machine):
    from tests.machine.boot import images
    machine(images.kernel1(code=bytes([0xF4]))).run()
"""


@pytest.mark.slow
def test_a_session_writes_one_file_however_many_workers_it_has(run: Runner) -> None:
    result = run(TESTS, "--enclave-coverage", "one.info")
    result.assert_outcomes(passed=4)
    alone = (run.pytester.path / "one.info").read_text()
    assert "SF:" in alone
    assert f"{run.pytester.path / 'one.info'}: lines " in text(result)
    result = run(TESTS, "--enclave-coverage", "two.info", "-n", "2", process=True)
    result.assert_outcomes(passed=4)
    assert (run.pytester.path / "two.info").read_text() == alone


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_reported(run: Runner) -> None:
    result = run(TESTS, "--enclave-coverage", "missing/x.info", "-k", "own")
    result.assert_outcomes(passed=1)
    assert "there is no directory" in text(result)


def test_a_session_without_an_enclave_covers_nothing(run: Runner) -> None:
    result = run("def test_nothing(): pass\n", "--enclave-coverage", "x.info")
    assert result.ret == pytest.ExitCode.OK
    assert "x.info: lines 0 of 0" in text(result)
