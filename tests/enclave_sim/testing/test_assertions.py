"""The assertions for tests: they pass if they should, and otherwise say what is wrong."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from enclave_sim import Enclave, Recording, events
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import Finding, GuaranteeBroken, Report, Run, Scenario, observe
from enclave_sim.inputs import MemoryFault, UplinkReady
from enclave_sim.testing import assertions
from enclave_sim.testing.assertions import (
    assert_attested,
    assert_deterministic,
    assert_events,
    assert_isolated,
    assert_jitter_free,
    assert_noninterference,
    assert_same_recording,
    assert_zero_trace,
)

FAULT = MemoryFault(at_ns=1, address=0x30_0000, bits=1)
"""In unused RAM, so that it stays to the end."""


@pytest.fixture(scope="module")
def run() -> Run:
    return observe("counter", cycles=2)


@pytest.fixture(scope="module")
def faulty() -> Run:
    return observe("counter", cycles=2, inputs=[FAULT])


def recording(**options: Any) -> Recording:
    enclave = Enclave("counter", **options)
    enclave.run()
    assert enclave.recording is not None
    return enclave.recording


def late(run: Run) -> Run:
    """The same run with wakes 5 ns late."""
    changed = tuple(msgspec.structs.replace(e, latency_ns=5) if isinstance(e, events.Woken) else e for e in run.events)
    return replace(run, events=changed)


def test_what_holds_is_returned_as_a_report_that_has_looked(run: Run) -> None:
    reports = [
        assert_zero_trace(run),
        assert_isolated([run, run]),
        assert_attested(run),
        assert_jitter_free(run),
        assert_noninterference(run, observe("counter", cycles=2, inputs=[UplinkReady(at_ns=0, ready=False)])),
        assert_deterministic("counter", runs=2, cycles=2),
        assert_deterministic(Scenario("counter", EnclaveOptions.of(cycles=2), (FAULT,)), runs=2),
    ]
    assert all(report.holds and any(report.looked_at.values()) for report in reports)


def test_deterministic_runs_with_the_options_and_inputs_given(run: Run, faulty: Run) -> None:
    assert assert_deterministic("counter", runs=2, cycles=2).looked_at["events"] == 2 * len(run.events)
    report = assert_deterministic("counter", cycles=2, inputs=[FAULT])
    assert report.looked_at["events"] == 3 * len(faulty.events)
    short = assert_deterministic("counter", runs=2, cycles=2, limit_ns=1000)
    assert short.looked_at["events"] < len(run.events)


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (lambda run, faulty: assert_zero_trace([run, faulty]), "residue in unmapped: 1 bytes at 0x300000"),
        (assert_noninterference, "in DORMANT, RAM, unmapped: 1 bytes of page 0x300000 differ"),
        (lambda run, _: assert_jitter_free(late(run)), "5 ns late"),
        (
            lambda run, _: assert_isolated(replace(run, findings={"isolation": (Finding("ring 3 changed CR3"),)})),
            "ring 3 changed CR3",
        ),
        (
            lambda run, _: assert_attested(replace(run, findings={"attestation": (Finding("no cap"),)})),
            "attested: BROKEN",
        ),
    ],
    ids=["zero-trace", "non-interference", "jitter-free", "isolated", "attested"],
)
def test_a_broken_guarantee_is_an_assertion_error_with_the_report_as_its_text(
    run: Run, faulty: Run, assertion: Callable[[Run, Run], Report], words: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        assertion(run, faulty)
    assert isinstance(caught.value, GuaranteeBroken)
    assert str(caught.value) == str(caught.value.report)
    assert words in str(caught.value)


def test_runs_that_are_not_the_same_are_not_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    cycles = iter([2, 2, 3])
    monkeypatch.setattr(assertions, "observe_scenario", lambda _: observe("counter", cycles=next(cycles)))
    with pytest.raises(GuaranteeBroken, match=r"deterministic: BROKEN.*\n.*run 3 diverges at event"):
        assert_deterministic("counter", runs=3)


def test_equal_recordings_are_the_same() -> None:
    first, second = recording(cycles=2), recording(cycles=2)
    assert first is not second
    assert_same_recording(first, second)


def test_of_unequal_recordings_the_first_events_that_differ_are_shown_with_those_before() -> None:
    first, second = recording(cycles=2), recording(cycles=2)
    changed = second.of_kind(events.Woken)[0]
    second.events[changed.seq] = msgspec.structs.replace(changed, latency_ns=5)
    with pytest.raises(AssertionError) as caught:
        assert_same_recording(first, second)
    title, where, *before, ours, theirs = str(caught.value).splitlines()
    assert title == "the recordings are not the same"
    assert where.strip() == f"they differ at event {changed.seq} (at {changed.at_ns} ns)"
    assert [f'"seq":{changed.seq - back},' in line for back, line in zip((3, 2, 1), before, strict=True)] == 3 * [True]
    assert ours.strip().startswith('- {"kind":"woken"')
    assert '"latency_ns":0' in ours
    assert theirs.strip().startswith('+ {"kind":"woken"')
    assert '"latency_ns":5' in theirs


def test_a_recording_that_ends_early_and_another_header_are_seen() -> None:
    first, second = recording(cycles=2), recording(cycles=2)
    del second.events[-1]
    with pytest.raises(AssertionError, match=rf"differ at event {len(second.events)} .*\n(.*\n)+.*\+ the end$"):
        assert_same_recording(first, second)
    second.events.append(first.events[-1])
    second.header = recording(cycles=3).header
    with pytest.raises(AssertionError, match=r"^the recordings are not the same\n  header, cycles: 2 and 3$"):
        assert_same_recording(first, second)


def test_events_in_order_are_found_by_name_or_type_and_returned(run: Run) -> None:
    began, woken, again = assert_events(run, ["cycle_began", events.Woken, "cycle_began"])
    assert isinstance(began, events.CycleBegan)
    assert isinstance(again, events.CycleBegan)
    assert (began.cycle, again.cycle) == (0, 1)
    assert began.seq < woken.seq < again.seq
    assert_events(recording(cycles=1), ["annihilation_began", "residue_scanned"])


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["residue_scanned", "halted"], ["there is no halted after residue_scanned (event ", "    nothing"]),
        (["shutdown"], ["there is no shutdown in the recording", "    event 0, 0 ns: mode_switched", "more events"]),
        (["woken", "woken"], ["there is no woken after woken (event ", "  found before: woken\n", "scrubbed"]),
    ],
)
def test_a_missing_event_is_named_with_what_was_found_and_what_came_instead(
    run: Run, kinds: Sequence[str], expected: Sequence[str]
) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_events(run, kinds)
    assert [part for part in expected if part not in str(caught.value)] == []
    assert len(str(caught.value).splitlines()) < 15


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (lambda: assert_zero_trace([]), "there is no run to judge"),
        (lambda: assert_deterministic("counter", runs=1), "runs is 1; determinism needs at least two"),
        (lambda: assert_deterministic(Scenario("counter"), cycles=2), "cycles cannot be given with it"),
        (lambda: assert_events(recording(), []), "no kind of event is given"),
        (lambda: assert_events(recording(), ["cycle_begin"]), "did you mean cycle_began"),
        (lambda: assert_events(recording(), ["#"]), "there are mode_switched, "),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_no_verdict(nonsense: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        nonsense()
    assert not isinstance(caught.value, AssertionError)
    assert "\n" not in str(caught.value)
