"""Guarantees judged after a test, and the look of a failure. The quoted tests are a user's."""

from pathlib import Path

import pytest

from tests.enclave_sim.testing.plugin.user import FAULT, PLUGIN, PRELUDE, Runner, text

pytest_plugins = ["pytester"]


def test_a_failing_assertion_shows_the_test_and_the_report_and_no_more(run: Runner) -> None:
    tests = f"""{PRELUDE}
def test_it(observed):
    at = 1
    run = observed("counter", {FAULT})
    assert_zero_trace(run)
"""
    result = run(tests)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       assert_zero_trace(run)",
            "E *GuaranteeBroken: zero-trace: BROKEN *",
            "E * residue in *: 1 bytes at 0x300000*",
        ]
    )
    assert "testing.py" not in text(result)
    assert len(result.outlines) < 35


@pytest.mark.slow
def test_enclaves_are_judged_after_the_test_by_the_guarantees_of_its_marker(run: Runner) -> None:
    tests = f"""{PRELUDE}
at = 1
pytestmark = pytest.mark.enclave_guarantees("zero_trace")
@pytest.mark.enclave_guarantees("isolated", "jitter_free")
def test_all_hold(enclave, observed):
    enclave("counter", cycles=2).run()
    enclave("counter").run(limit_ns=100_000)
    enclave("counter")
    observed("counter")
def test_broken_by_one_of_two(enclave):
    enclave("counter").run()
    enclave("counter", {FAULT}).run()
def test_broken_under_observation(observed):
    observed("counter", {FAULT})
def test_fails_by_itself(enclave):
    enclave("counter", {FAULT}).run()
    raise RuntimeError("its own failure")
def test_that_is_skipped():
    pytest.skip("not judged")
"""
    result = run(tests)
    result.assert_outcomes(passed=1, failed=3, skipped=1)
    broken = [line for line in result.outlines if line.startswith("zero-trace: BROKEN")]
    assert ["runs 2" in line for line in broken] == [True, False]
    failures, _, _ = text(result).partition(
        " short test summary info "
    )  # pytest repeats the messages there if CI is set
    assert failures.count("  residue in unmapped: 1 bytes at 0x300000") == 2
    assert "its own failure" in text(result)
    assert "testing/plugin" not in text(result).replace(" ".join(PLUGIN), "")


def test_an_enclave_that_is_judged_does_not_run_on(run: Runner) -> None:
    tests = """
import pytest
@pytest.fixture
def stopped(enclave):
    made = enclave("counter")
    made.run(limit_ns=100_000)
    before = made.machine.clock.now_ns
    yield
    assert (made.machine.clock.now_ns, made.dormant) == (before, False)
@pytest.mark.enclave_guarantees("zero_trace", "isolated")
def test_it(stopped):
    pass
"""
    run(tests).assert_outcomes(passed=1)


def test_without_the_marker_nothing_is_judged(run: Runner) -> None:
    tests = f"""{PRELUDE}
def test_it(enclave):
    at = 1
    enclave("counter", {FAULT}).run()
"""
    run(tests).assert_outcomes(passed=1)


@pytest.mark.slow
def test_hypothesis_finds_the_smallest_example_that_breaks_a_guarantee(run: Runner) -> None:
    tests = f"""{PRELUDE}
@pytest.mark.enclave_guarantees("zero_trace")
@quickly
@given(at=st.integers(1, 300_000), faulty=st.booleans())
def test_broken(enclave, at, faulty):
    fault = MemoryFault(at_ns=at, address=0x30_0000, bits=1)
    enclave("counter", inputs=[fault] if faulty else []).run()
@pytest.mark.enclave_guarantees("zero_trace")
class TestHolds:
    @quickly
    @given(cycles=st.integers(1, 3))
    def test_method(self, enclave, cycles):
        enclave("counter", cycles=cycles).run()
"""
    result = run(tests)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *zero-trace: BROKEN (runs 1,*",
            "E *residue in *",
            "E  *enclave=<fixture enclave>,",
            "E  *at=1,",
            "E  *faulty=True,",
        ]
    )


def test_a_hypothesis_test_is_left_as_it_was(run: Runner) -> None:
    tests = f"""{PRELUDE}
@pytest.mark.parametrize("cycles", [1, 2])
@quickly
@given(later=st.integers(0, 9))
def test_it(enclave, cycles, later):
    enclave("counter", cycles=cycles)
inner = test_it.hypothesis.inner_test
def test_after():
    assert test_it.hypothesis.inner_test is inner
"""
    run(tests).assert_outcomes(passed=3)


def test_marked_tests_that_run_no_enclave_are_not_green(run: Runner) -> None:
    tests = f"""{PRELUDE}
pytestmark = pytest.mark.enclave_guarantees("isolated")
def test_none():
    pass
def test_not_run(enclave):
    enclave("counter")
@quickly
@given(number=st.integers())
def test_hypothesis(number):
    pass
"""
    result = run(tests)
    result.assert_outcomes(failed=3)
    assert text(result).count("\nmarked with enclave_guarantees, but no enclave of the fixtures has run") == 3


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        (
            "enclave_guarantees('zero_tracing')",
            "did you mean zero_trace? it takes names of zero_trace, isolated, jitter_free, attested",
        ),
        ("enclave_guarantees", "takes names of zero_trace, isolated, jitter_free, attested"),
        ("enclave_guarantees('isolated', runs=3)", "takes names of zero_trace, isolated, jitter_free, attested"),
        ("enclave_guarantees(['isolated'])", "takes names of zero_trace, isolated, jitter_free, attested"),
        ("enclave('counter', cycels=3)", "the marker enclave has no option 'cycels'; did you mean cycles? there are"),
        ("enclave(payloads='counter')", "did you mean payload? there are payload, "),
        ("enclave('counter', 3)", "the marker enclave takes one payload, and options by name"),
        ("enclave('counter', payload='beacon')", "the marker enclave takes one payload, and options by name"),
    ],
)
def test_a_marker_that_says_nothing_sensible_is_one_line_and_the_test_does_not_run(
    run: Runner, marker: str, words: str
) -> None:
    result = run(f"import pytest\n@pytest.mark.{marker}\ndef test_it():\n    open('ran', 'w')\ndef test_other(): pass")
    result.assert_outcomes(errors=1, passed=1)
    (index,) = (i for i, line in enumerate(result.outlines) if "ERROR at setup" in line)
    assert words in result.outlines[index + 1]
    assert result.outlines[index + 2].startswith("====")
    assert not Path("ran").exists()


def test_an_enclave_that_is_judged_takes_no_recorder(run: Runner) -> None:
    tests = f"""{PRELUDE}
class Recorder:
    def __init__(self):
        self.events = []
    def record(self, event):
        self.events.append(event)
@pytest.mark.enclave_guarantees("isolated")
def test_judged(enclave):
    enclave("counter").run()
    with pytest.raises(ConfigurationError, match="takes no recorder"):
        enclave("counter", recorder=Recorder())
def test_not_judged(enclave, recording):
    recorder = Recorder()
    enclave("counter", recorder=recorder).run()
    assert recorder.events == recording().events
"""
    run(tests).assert_outcomes(passed=2)
