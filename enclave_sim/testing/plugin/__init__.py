"""The pytest plugin: fixtures that make enclaves and machines, guarantees as markers, recordings of failing tests.

docs/testing.md shows how to use it. pytest imports this module whenever it starts, so it does not import the emulator;
a factory does at its first call. The fixtures have session scope, so that they can be used with Hypothesis and in
fixtures of any scope: the objects made by a factory belong to the running test.
"""

import functools
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.following import followers
from enclave_sim.similar import did_you_mean
from enclave_sim.testing.plugin.covered_session import CoveredSession
from enclave_sim.testing.plugin.factories import (
    EnclaveFactory,
    MachineFactory,
    ObservedFactory,
    PluginState,
    RecordingFactory,
    Subject,
)
from enclave_sim.testing.plugin.failure_recordings import prepared, save_all

__all__ = ["EnclaveFactory", "MachineFactory", "ObservedFactory", "RecordingFactory"]

GUARANTEES = ("zero_trace", "isolated", "jitter_free", "attested")
"""The guarantees that can be judged from any runs of a test; the others need special runs."""
_OPTION = "--enclave-record-failures"
_LIMIT_OPTION, _LIMIT_MARKER = "--enclave-host-limit", "enclave_host_limit"
_COVERAGE_OPTION = "--enclave-coverage"
_PROPERTY, _ERROR_PROPERTY = "enclave_recording", "enclave_recording_error"
_SESSION = pytest.StashKey[PluginState]()


# The fixtures


@pytest.fixture(scope="session", name="enclave")
def _enclave(pytestconfig: pytest.Config) -> EnclaveFactory:
    """Make enclaves: `enclave("counter", cycles=3)`."""
    return EnclaveFactory(pytestconfig.stash[_SESSION])


@pytest.fixture(scope="session", name="observed")
def _observed(pytestconfig: pytest.Config) -> ObservedFactory:
    """Run enclaves under observation: `observed("counter", cycles=3)`, for `enclave_sim.testing`."""
    return ObservedFactory(pytestconfig.stash[_SESSION])


@pytest.fixture(scope="session", name="recording")
def _recording(pytestconfig: pytest.Config) -> RecordingFactory:
    """Get the recording of the enclave made last, or of a file: `recording()`, `recording(path)`."""
    return RecordingFactory(pytestconfig.stash[_SESSION])


@pytest.fixture(scope="session", name="machine")
def _machine(pytestconfig: pytest.Config) -> MachineFactory:
    """Load kernels into a bare machine: `machine(image, command_line="verbose")`."""
    return MachineFactory(pytestconfig.stash[_SESSION])


# Options and markers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("enclave-sim")
    group.addoption(_OPTION, metavar="DIR", help="save the recording of each enclave of each failing test in DIR")
    group.addoption(
        _LIMIT_OPTION, metavar="S", type=float, help="let enclaves and machines of each test run S seconds at most"
    )
    group.addoption(
        _COVERAGE_OPTION, metavar="FILE", help="write in FILE, for genhtml, which lines of kernels the tests execute"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers. Check before any test runs that recordings can be written."""
    config.addinivalue_line("markers", "enclave(payload='beacon', **options): defaults of `enclave` and `observed`")
    config.addinivalue_line(
        "markers", f"enclave_guarantees(*names): judge what the test ran by these guarantees: {', '.join(GUARANTEES)}"
    )
    config.addinivalue_line("markers", f"{_LIMIT_MARKER}(seconds): how long what the test runs may take on the host")
    given, limit = config.getoption(_OPTION), config.getoption(_LIMIT_OPTION)
    if limit is not None and not limit > 0:
        raise pytest.UsageError(f"{_LIMIT_OPTION}: {limit} s leaves no time; it must be more than 0")
    directory = None
    if given is not None:
        try:
            directory = prepared(Path(config.invocation_params.dir, given))
        except ConfigurationError as error:
            raise pytest.UsageError(f"{_OPTION}: {error}") from None
    coverage = config.getoption(_COVERAGE_OPTION)
    if coverage is not None:
        config.pluginmanager.register(CoveredSession(config, coverage), "enclave_sim_coverage")
    state = config.stash[_SESSION] = PluginState(directory)
    followers.append(state.follow)
    config.add_cleanup(lambda: followers.remove(state.follow))


def _subject_of(item: pytest.Item) -> Subject:
    """Return the settings of a test's markers; the closest one wins. Raises ConfigurationError for a malformed one."""
    defaults: dict[str, Any] = {}
    for marker in item.iter_markers("enclave"):
        if len(marker.args) > 1 or (marker.args and "payload" in marker.kwargs):
            raise ConfigurationError("the marker enclave takes one payload, and options by name")
        _check_options(marker.kwargs)
        defaults = {**({"payload": marker.args[0]} if marker.args else {}), **marker.kwargs} | defaults
    names: list[str] = []
    for marker in item.iter_markers("enclave_guarantees"):
        unknown = [name for name in marker.args if name not in GUARANTEES]
        if marker.kwargs or not marker.args or unknown:
            near = did_you_mean(str(unknown[0]), GUARANTEES) if unknown else ""
            raise ConfigurationError(f"the marker enclave_guarantees: {near}it takes names of {', '.join(GUARANTEES)}")
        names += [name for name in marker.args if name not in names]
    return Subject(defaults, tuple(names))


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an option of the marker `enclave` that neither of its fixtures takes."""
    if not options:
        return
    from enclave_sim.testing.plugin.lazy_factories import option_names  # noqa: PLC0415

    names = option_names()
    for name in options:
        if name not in names:
            near = did_you_mean(name, names)
            raise ConfigurationError(f"the marker enclave has no option {name!r}; {near}there are {', '.join(names)}")


def _host_limit(item: pytest.Item) -> AbstractContextManager[object]:
    """Return the limit of a test, from its closest marker or else from the option."""
    marker, seconds = item.get_closest_marker(_LIMIT_MARKER), item.config.getoption(_LIMIT_OPTION)
    if marker is not None:
        if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], int | float) or marker.args[0] <= 0:
            pytest.fail(f"the marker {_LIMIT_MARKER} takes one number of seconds, more than 0", pytrace=False)
        seconds = marker.args[0]
    if seconds is None:
        return nullcontext()
    from machine.host_limit import HostLimit  # noqa: PLC0415

    return HostLimit(seconds)


# The life of one test


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a test: from now on, the objects made by the fixtures belong to it."""
    try:
        item.config.stash[_SESSION].subject = _subject_of(item)
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run the test, then judge its runs; if Hypothesis runs several examples, judge each separately."""
    subject = item.config.stash[_SESSION].subject
    handle: Any = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is None:
        with _host_limit(item):
            result = yield
        verdict = subject.verdict()
        if verdict is not None:
            pytest.fail(verdict, pytrace=False)
    else:
        inner, handle.inner_test = handle.inner_test, _example(handle.inner_test, subject)
        try:
            with _host_limit(item):
                result = yield
        finally:
            handle.inner_test = inner
    if subject.guarantees and not subject.judged:
        pytest.fail("marked with enclave_guarantees, but no enclave of the fixtures has run", pytrace=False)
    return result


def _example(inner: Any, subject: Subject) -> Any:
    """Wrap a Hypothesis test: each example starts fresh, and fails if a guarantee is broken, so that it is shrunk."""
    made_by_fixtures = len(subject.recordings), len(subject.watched)

    @functools.wraps(inner)
    def example(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        del subject.recordings[made_by_fixtures[0] :]
        del subject.watched[made_by_fixtures[1] :]
        result = inner(*args, **kwargs)
        verdict = subject.verdict()
        if verdict is not None:
            raise AssertionError(verdict)
        return result

    return example


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Save the recordings of a failed test. The report carries the file names, so that workers also report theirs."""
    report = yield
    session = item.config.stash[_SESSION]
    if session.directory is not None and report.failed:
        try:
            paths = save_all(session.directory, item.nodeid, session.subject.recordings)
            report.user_properties += [(_PROPERTY, str(path)) for path in paths]
        except ConfigurationError as error:
            report.user_properties.append((_ERROR_PROPERTY, f"{item.nodeid}: {error}"))
    if report.when == "teardown":
        session.subject = Subject()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report the written files."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    here = config.invocation_params.dir
    paths = [Path(value) for name, value in properties if name == _PROPERTY]
    lines = [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths]
    lines += [f"not saved: {value}" for name, value in properties if name == _ERROR_PROPERTY]
    if lines:
        terminalreporter.section("recordings of failing tests")
        for line in dict.fromkeys(lines):
            terminalreporter.write_line(line)
