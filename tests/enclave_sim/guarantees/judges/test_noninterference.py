"""Non-interference compares what is seen, event by event and page by page; shown with modified runs."""

from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

import firmware
from enclave_sim.events import HostCalled, PayloadMeasured, SignalEmitted
from enclave_sim.guarantees import Report, Run, noninterference, observe
from enclave_sim.guarantees.judges.noninterference import context
from enclave_sim.guarantees.watchers.interference import STATUS, STATUS_RECORDS, Probe, _without_records
from machine.bus.ram import PAGE_SIZE


@cache
def run() -> Run:
    return observe("beacon")


@cache
def other_secret() -> Run:
    """The run with another secret, which its guest sees in its status word."""
    first, *rest = run().probes
    return replace(run(), probes=(replace(first, own={STATUS: 0}), *rest))


def altered(index: int, **fields: Any) -> Run:
    """That run with one event replaced."""
    events = list(run().events)
    events[index] = msgspec.structs.replace(events[index], **fields)
    return replace(other_secret(), events=tuple(events))


def whats(report: Report) -> list[str]:
    return [finding.what for finding in report.findings]


def of_kind(kind: type) -> int:
    return next(index for index, event in enumerate(run().events) if isinstance(event, kind))


def test_runs_that_differ_in_the_secret_alone_are_equal_and_what_was_looked_at_is_counted() -> None:
    report = noninterference(run(), other_secret())
    assert report.holds
    assert report.looked_at == {
        "events": len(run().events),
        "probes": len(run().probes),
        "dormant": 1,
        "seen in": "status word",
    }
    assert len(run().probes) >= 1


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(PayloadMeasured, {"sha256": "x"}), (SignalEmitted, {"value": 99})],
)
def test_what_a_payload_declares_may_differ(kind: type, fields: dict[str, Any]) -> None:
    assert noninterference(run(), altered(of_kind(kind), **fields)).holds


def test_of_host_calls_the_argument_of_emit_signal_alone_may_differ() -> None:
    calls = [index for index, event in enumerate(run().events) if isinstance(event, HostCalled)]
    emits = [index for index in calls if run().events[index].number == 1]  # type: ignore[attr-defined]
    others = [index for index in calls if index not in emits]
    for index in calls:
        report = noninterference(run(), altered(index, argument=12345))
        assert report.holds == (index in emits), run().events[index]
    assert emits
    assert others or len(emits) == len(calls)


def test_another_time_and_another_event_are_distinguished_each_with_its_neighbours() -> None:
    index = 20
    later = noninterference(run(), altered(index, at_ns=run().events[index].at_ns + 1))
    assert whats(later) == ["a timing channel: the same event at another time"]
    (finding,) = later.findings
    assert finding.at_ns == run().events[index].at_ns
    assert [line[0] for line in finding.evidence] == [" ", " ", " ", "-", "+"]
    seqs = [int(line.partition('"seq":')[2].split(",")[0]) for line in finding.evidence]
    assert seqs == [17, 18, 19, 20, 20]
    other = altered(index, seq=99)
    assert whats(noninterference(run(), other)) == ["another event"]
    for earlier in (
        altered(index, at_ns=run().events[index].at_ns - 1, seq=0),
        altered(index, at_ns=10**12, seq=10**6),
    ):
        assert whats(noninterference(run(), earlier)) == ["another event"]


def test_a_run_with_fewer_events_is_found() -> None:
    shorter = replace(run(), events=run().events[:-1])
    assert whats(noninterference(run(), shorter)) == [f"{len(run().events)} and {len(run().events) - 1} events"]


def test_each_register_and_page_that_a_context_sees_otherwise_is_named() -> None:
    first = run().probes[0]
    seen = {**first.seen, "RAX": 7, "heap, page 0x999000": b"x"}
    del seen["RBX"]
    other = replace(run(), probes=(Probe(first.what, first.at_ns, seen), *run().probes[1:]))
    report = noninterference(run(), other)
    assert whats(report) == [f"{first.what} can see a trace: RAX, RBX, heap, page 0x999000"]
    assert report.findings[0].at_ns == first.at_ns


def test_one_that_goes_dormant_and_one_that_does_not_differ() -> None:
    awake = replace(other_secret(), result=msgspec.structs.replace(run().result, halted=False))
    assert whats(noninterference(run(), awake)) == ["one run went dormant and the other did not"]
    assert noninterference(awake, awake).looked_at["dormant"] == 0


def test_in_dormant_the_secret_itself_and_declared_output_may_differ_and_nothing_else() -> None:
    devices = {**run().final.devices, "EnclaveBlock.sensors": "x", "Uart16550.transmitted": "x", "PostCode.code": "x"}
    pages = {**run().final.pages, 0x30_0000: b"\1" + bytes(PAGE_SIZE - 1)}
    other = replace(run(), final=replace(run().final, devices=devices, pages=pages))
    assert sorted(what.split(":")[0].split(" of ")[0] for what in whats(noninterference(run(), other))) == [
        "in DORMANT, RAM, unmapped",
        "in DORMANT, device PostCode.code",
    ]


@pytest.mark.parametrize(("differences", "shown"), [(19, 19), (20, 20), (21, 20), (40, 20)])
def test_twenty_findings_are_enough(differences: int, shown: int) -> None:
    first, second = (
        replace(run(), final=replace(run().final, registers={f"R{n}": n + more for n in range(differences)}))
        for more in (0, 1)
    )
    assert whats(noninterference(first, second)) == [
        f"in DORMANT, register R{n}: {n:#x} and {n + 1:#x}" for n in range(shown)
    ]


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_the_first_events_have_fewer_neighbours(index: int) -> None:
    (finding,) = noninterference(run(), altered(index, seq=99)).findings
    assert [line[0] for line in finding.evidence] == [*" " * index, "-", "+"]


@pytest.mark.parametrize("shorter", [0, 1])
def test_one_that_ends_earlier_is_shown_with_its_end(shorter: int) -> None:
    events = list(run().events)
    pair = [events[:5], events]
    ours, theirs = pair[:: 1 - 2 * shorter]
    lines = context(ours, theirs, 5)
    assert [line[0] for line in lines] == [" ", " ", " ", "-", "+"]
    assert lines[3 + shorter] == ("- the end", "+ the end")[shorter]
    assert '"seq":5,' in lines[4 - shorter]


def test_two_that_do_not_go_dormant_are_not_compared_there() -> None:
    awake = replace(other_secret(), result=msgspec.structs.replace(run().result, halted=False))
    first = replace(run(), result=awake.result)
    other = replace(awake, final=replace(run().final, registers={**run().final.registers, "RAX": 77}))
    assert noninterference(first, other).holds


OWN = firmware.built_in().symbols["event_log"], firmware.layout()["EVENT_LOG_SIZE"]


@pytest.mark.parametrize(("log", "size"), [OWN, (0x1F00, 0x400), (0x1F00, 0x1400), (0x2000, 0x1000), (0x2800, 0x800)])
def test_the_log_of_measurements_is_left_out_wherever_it_lies(
    monkeypatch: pytest.MonkeyPatch, log: int, size: int
) -> None:
    """Its digests cover what a payload declares."""
    symbols = {"event_log": log, **dict.fromkeys(STATUS_RECORDS, 1 << 40)}
    monkeypatch.setattr(firmware, "layout", lambda: {"EVENT_LOG_SIZE": size})
    content = bytes([0xAA]) * PAGE_SIZE
    start = log & -PAGE_SIZE
    for page in range(start - PAGE_SIZE, log + size + 2 * PAGE_SIZE, PAGE_SIZE):
        kept = _without_records(symbols, page, content)
        assert len(kept) == PAGE_SIZE
        for at in (0, PAGE_SIZE - 1, log - page, log - page - 1, log + size - page, log + size - page - 1):
            if 0 <= at < PAGE_SIZE:
                assert kept[at] == (0 if log <= page + at < log + size else 0xAA), (hex(page), at)
