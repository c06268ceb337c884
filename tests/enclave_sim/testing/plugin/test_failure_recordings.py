"""`--enclave-record-failures`: the saved files and their names. The quoted tests are a user's."""

import re
from pathlib import Path

import pytest

from enclave_sim import Enclave, Template
from enclave_sim.inputs import MemoryFault, UplinkReady
from enclave_sim.recording.reader import read_events, read_header
from tests.enclave_sim.testing.plugin.user import PRELUDE, Runner, text

pytest_plugins = ["pytester"]

OPTION = "--enclave-record-failures"


def saved(directory: str = "saved") -> list[str]:
    """Names of the files there, hidden ones too."""
    return sorted(path.name for path in Path(directory).iterdir())


def named(result: pytest.RunResult) -> list[str]:
    """The files that the terminal summary names."""
    return sorted(re.findall(r"^saved/(\S+)$", text(result), re.M))


def digest(name: str) -> str:
    """Read a saved recording, which also checks it."""
    path = Path("saved", name)
    assert list(read_events(path))
    found = re.search(r'"sha256":"(\w+)"', path.read_text().splitlines()[-1])
    assert found is not None
    return found[1]


TWO_TESTS = """
def test_that_fails(enclave):
    enclave("counter").run()
    enclave("beacon", cycles=2).run(limit_ns=100_000)
    raise RuntimeError
def test_that_passes(enclave):
    enclave("counter").run()
"""


def test_each_enclave_of_a_failing_test_is_saved_and_named_in_the_summary(run: Runner) -> None:
    result = run(TWO_TESTS, OPTION, "saved")
    result.assert_outcomes(passed=1, failed=1)
    first, second = saved()
    assert re.fullmatch(r"test_user\.py_test_that_fails-[0-9a-f]{8}-1\.jsonl", first)
    assert second == first.replace("-1.jsonl", "-2.jsonl")
    assert digest(first) == Enclave("counter").run().digest
    assert digest(second) == Enclave("beacon", cycles=2).run(limit_ns=100_000).digest
    assert named(result) == [first, second]


def test_without_the_option_nothing_is_written_or_said(run: Runner) -> None:
    result = run(TWO_TESTS)
    result.assert_outcomes(passed=1, failed=1)
    assert "recordings" not in text(result)
    assert list(Path().rglob("*.jsonl")) == []


def test_names_are_the_same_each_time_and_the_files_are_replaced(run: Runner) -> None:
    run(TWO_TESTS, OPTION, "saved")
    names = saved()
    Path("saved", names[0]).write_text("old")
    run(TWO_TESTS, OPTION, "saved")
    assert saved() == names
    assert digest(names[0]) == Enclave("counter").run().digest


def test_expected_failures_and_skipped_tests_leave_nothing(run: Runner) -> None:
    tests = """
import pytest
@pytest.mark.xfail(strict=True)
def test_expected(enclave):
    enclave("counter")
    raise RuntimeError
def test_skipped(enclave):
    enclave("counter")
    pytest.skip("not today")
@pytest.mark.xfail(strict=True)
def test_that_should_fail(enclave):
    enclave("counter")
"""
    result = run(tests, OPTION, "saved")
    result.assert_outcomes(xfailed=1, skipped=1, failed=1)
    (name,) = saved()
    assert "test_that_should_fail" in name


def test_a_test_that_never_began_has_nothing_of_the_one_before(run: Runner) -> None:
    tests = """
import pytest
def test_that_passes(enclave):
    enclave("counter")
@pytest.mark.enclave_guarantees("nonsense")
def test_with_a_wrong_marker():
    pass
"""
    run(tests, OPTION, "saved").assert_outcomes(passed=1, errors=1)
    assert saved() == []


def test_failures_of_set_up_tear_down_and_judgement_count(run: Runner) -> None:
    tests = f"""{PRELUDE}
@pytest.fixture
def broken(enclave):
    enclave("counter")
    raise RuntimeError
def test_set_up(broken):
    pass
@pytest.fixture
def breaks(enclave):
    yield
    enclave("counter")
    raise RuntimeError
def test_tear_down(breaks):
    pass
@pytest.mark.enclave_guarantees("zero_trace")
def test_judged(enclave):
    enclave("counter", inputs=[MemoryFault(at_ns=1, address=0x30_0000, bits=1)]).run()
"""
    result = run(tests, OPTION, "saved")
    result.assert_outcomes(errors=2, passed=1, failed=1)
    names = saved()
    assert [name.split("-")[0] for name in names] == [
        f"test_user.py_test_{s}" for s in ("judged", "set_up", "tear_down")
    ]
    assert named(result) == names


def test_ids_that_are_long_odd_or_look_alike_have_files_of_their_own(run: Runner) -> None:
    tests = """
import pytest
ODD = ["a/b", "a:b", "../../b", "\\u2603", "x" * 400, "x" * 401, "-" * 400, "x"]
@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in ODD])
def test_it(enclave, name):
    enclave("counter")
    raise RuntimeError
"""
    run.pytester.path.joinpath(".hidden").mkdir()
    run.pytester.path.joinpath(".hidden", "test_it.py").write_text(tests.replace("ODD]", "ODD[:1]]"))
    result = run(tests, OPTION, "saved", "test_user.py", ".hidden/test_it.py")
    result.assert_outcomes(failed=9)
    assert len(saved()) == 9
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,130}\.jsonl", name) for name in saved())
    assert named(result) == saved()


@pytest.mark.slow
def test_of_hypothesis_only_the_smallest_example_is_saved(run: Runner) -> None:
    tests = f"""{PRELUDE}
@pytest.fixture(scope="module")
def first(enclave):
    return enclave("beacon")
@quickly
@given(at=st.integers(1, 1_000_000))
def test_it(first, enclave, at):
    enclave("counter", inputs=[MemoryFault(at_ns=at, address=0x30_0000, bits=1)]).run()
    assert at < 1234
"""
    run(tests, OPTION, "saved").assert_outcomes(failed=1)
    of_the_fixture, of_the_example = saved()
    assert read_header(Path("saved", of_the_fixture)).inputs == ()
    assert read_header(Path("saved", of_the_example)).inputs == (MemoryFault(at_ns=1234, address=0x30_0000, bits=1),)


@pytest.mark.slow
def test_the_last_run_of_each_template_of_a_failing_test_is_saved(run: Runner) -> None:
    tests = f"""{PRELUDE}
from enclave_sim import Template
from enclave_sim.guarantees import ObservedTemplate
from enclave_sim.inputs import UplinkReady
@pytest.fixture(scope="module")
def template():
    return Template("counter")
def test_that_passes(template):
    template.start().run()
def test_that_fails(template, recording):
    for number in (1, 2):
        template.start(inputs=[UplinkReady(at_ns=template.at_ns + number, ready=False)]).run()
    ObservedTemplate("beacon").run()
    assert recording().header.inputs == ()
    Template("beacon", record=False).start().run()
    raise RuntimeError
def test_that_fails_without(template):
    raise RuntimeError
@quickly
@given(later=st.integers(0, 1_000_000))
def test_examples(template, later):
    template.start(inputs=[UplinkReady(at_ns=template.at_ns + later, ready=False)]).run()
    assert later < 1234
"""
    run(tests, OPTION, "saved").assert_outcomes(failed=3, passed=1)
    example, first, second = saved()
    at_ns = Template("counter").at_ns
    assert digest(first) == Enclave("counter", inputs=[UplinkReady(at_ns=at_ns + 2, ready=False)]).run().digest
    assert digest(second) == Enclave("beacon").run().digest
    assert digest(example) == Enclave("counter", inputs=[UplinkReady(at_ns=at_ns + 1234, ready=False)]).run().digest


@pytest.mark.slow
def test_an_enclave_of_a_template_can_be_kept_too(run: Runner) -> None:
    tests = f"""{PRELUDE}
from enclave_sim import Enclave, Template
@pytest.fixture(scope="module")
def template():
    return Template("counter")
@quickly
@given(later=st.integers(0, 1_000_000))
def test_it(template, recording, later):
    fault = MemoryFault(at_ns=template.at_ns + later, address=0x30_0000, bits=1)
    recording.keep(template.start(inputs=[fault])).run()
    recording.keep(template.start(inputs=[fault])).run()
    assert recording().header.inputs == (fault,)
    assert later < 1234
def test_without_a_recording(recording):
    with pytest.raises(ConfigurationError, match="has no recording"):
        recording.keep(Enclave("counter", record=False))
"""
    result = run(tests, OPTION, "saved")
    result.assert_outcomes(failed=1, passed=1)
    (name,) = saved()
    (fault,) = read_header(Path("saved", name)).inputs
    enclave = Enclave("counter", inputs=[fault])
    assert digest(name) == enclave.run().digest


@pytest.mark.slow
def test_workers_of_xdist_save_and_the_summary_names_their_files(run: Runner) -> None:
    pytest.importorskip("xdist")
    result = run(TWO_TESTS, OPTION, "saved", "-n", "1", process=True)
    result.assert_outcomes(passed=1, failed=1)
    assert len(saved()) == 2
    assert named(result) == saved()


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        ("test_user.py", "*test_user.py is a file; it must be a directory"),
        ("test_user.py/below", "cannot write to directory */test_user.py/below: Not a directory"),
        ("/proc/none", "cannot write to directory /proc/none: *"),
        ("/proc", "cannot write to directory /proc: *"),
    ],
)
def test_a_directory_that_cannot_be_written_is_a_usage_error_before_any_test(
    run: Runner, directory: str, words: str
) -> None:
    result = run("open('ran', 'w')", OPTION, directory)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.outlines == []
    result.stderr.fnmatch_lines([f"ERROR: {OPTION}: {words}"])
    assert len(list(filter(None, result.errlines))) == 1
    assert not Path("ran").exists()


def test_a_directory_is_created_with_its_parents(run: Runner) -> None:
    run(TWO_TESTS, OPTION, "build/test/saved").assert_outcomes(passed=1, failed=1)
    assert len(saved("build/test/saved")) == 2


def test_a_recording_that_cannot_be_written_is_said_and_leaves_no_half_of_it(run: Runner) -> None:
    tests = """
import pytest
from enclave_sim.files import writing
@pytest.fixture
def full_disk(monkeypatch):
    def replace(half, goal):
        assert half.stat().st_size > 0
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(writing.os, "replace", replace)
def test_it(enclave, full_disk):
    enclave("counter").run()
    raise RuntimeError("its own failure")
"""
    result = run(tests, OPTION, "saved")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*its own failure*", "not saved: test_user.py::test_it: cannot record to *: No space left on device"]
    )
    assert saved() == []
