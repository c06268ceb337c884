"""The report, read by a strict HTML parser and an XML parser."""

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import html5lib
import pytest
from hypothesis import given, settings

from enclave_sim import Enclave
from enclave_sim import events as enclave
from enclave_sim.events import PayloadRejected
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.html import fragment
from enclave_sim.recording.exports.picture.figures import Figures
from enclave_sim.recording.exports.picture.lanes import SHOWN_SINGLY, Bins, Span
from enclave_sim.recording.exports.spans import Track
from enclave_sim.recording.format import Digest, Header
from enclave_sim.specification import Phase, Step
from machine import events as machine
from machine.events import Event
from tests.enclave_sim.recording.exports.html_tables import tables, words
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS, HEADER, Run, exported, host_calls

SVG = "{http://www.w3.org/2000/svg}"


def opened(page: str) -> Any:
    """The parsed document. Fails if a browser would have to guess, or if anything could be run or fetched."""
    tree = html5lib.HTMLParser(strict=True).parse(page)
    for element in tree.iter():
        assert element.tag.rpartition("}")[2] not in ("script", "iframe", "object", "embed", "link", "img", "image")
        for name, value in element.attrib.items():
            assert name.rpartition("}")[2] not in ("src", "href", "data", "action")
            assert not name.startswith("on")
            assert "url(" not in value
    assert not re.search(r"url\(|@import", page)
    return tree


def test_the_report_is_well_formed_and_needs_nothing(run: Run) -> None:
    page = run.export(Format.HTML).decode()
    opened(page)
    ElementTree.fromstring(page.replace("<!DOCTYPE html>\n", ""))


def test_the_report_says_what_the_result_says(run: Run) -> None:
    result = run.result
    found = tables(run.export(Format.HTML).decode())
    summary = dict(found["Summary"])
    assert summary["outcome"] == result.outcome
    assert summary["digest of the events"] == Figures(run.recording.header, run.recording.events).digest
    if result.outcome != "LIMIT":  # a limit counts for the digest of a run
        assert summary["digest of the events"] == result.digest
    assert summary["events"] == f"{result.events:,}"
    assert summary["host calls"] == f"{result.host_calls:,}"
    assert summary["preemptions"] == f"{result.preemptions:,}"
    assert summary["signals"] == f"{len(result.signals):,}"
    assert summary["residue"].startswith("0 bytes in 16 MiB" if result.halted else "not looked for")
    reached = {f"{Phase[p.name]:02d} {p.name}": p for p in result.phases}
    for name, state, entered, at, _ in found["Phases"][1:]:
        if name in reached:
            phase = reached[name]
            assert entered == f"{phase.at_ns:,}"
            assert at == ("not reached" if phase.state is None else f"{phase.reached_at_ns:,}")
        else:
            assert (entered, at) == ("not entered", "")
        assert state == Phase[name[3:]].target_state
    if result.halted:
        steps = [(step.step, f"{step.at_ns:,}", step.meaning) for step in result.annihilation]
        assert [tuple(row) for row in found["Steps of annihilation"][1:]] == steps
        assert len(steps) == len(Step)
    transitions = found.get("Ring transitions", [])[1:]
    assert {f"{a[-1]}->{b[-1]} {why}": int(n.replace(",", "")) for a, b, why, n in transitions} == result.transitions


def test_wakes_and_scrubs_are_reported(run_of: Callable[[str], Run]) -> None:
    found = tables(run_of("counter").export(Format.HTML).decode())
    summary = dict(found["Summary"])
    assert summary["wake latency"] == (
        "0 to 0 ns in 2 wakes, spread 0 ns; from the deadline to the handler's first instruction"
    )
    assert summary["scrubs"].endswith("each read back and found zero")
    assert ["heap", "5", "20,971,520", "0"] in found["Scrubs by region"]


def test_pictures_show_phases_by_name_and_scale(run_of: Callable[[str], Run]) -> None:
    run = run_of("counter")
    tree = opened(run.export(Format.HTML).decode())
    pictures = list(tree.iter(f"{SVG}svg"))
    assert [words(picture.find(f"{SVG}title")) for picture in pictures] == [
        "The whole run, in virtual time",
        "The boot",
        "The first cycle",
        "The first host calls",
        "The annihilation",
    ]
    boxes = {words(box): box for box in pictures[0].iter(f"{SVG}rect")}
    width = 844 / run.recording.events[-1].at_ns
    for phase in run.result.phases:
        box = boxes[f"{phase.name}: {phase.at_ns:,} to {phase.reached_at_ns:,} ns"]
        assert float(box.attrib["x"]) == pytest.approx(104 + phase.at_ns * width, abs=0.02)
    labels = [words(text) for text in pictures[1].iter(f"{SVG}text")]
    assert {"PROT_ENTRY", "MEM_MAP", "EXEC_LOOP", "Ring 3"} <= set(labels)  # the box of WASM_INIT is too narrow


def test_of_other_kernels_it_says_nothing_about_enclaves() -> None:
    page = exported(Header({"ram_size": 1 << 27}, "0" * 64, ()), list(host_calls(3)), Format.HTML).decode()
    opened(page)
    found = tables(page)
    assert "<h1>The boot of a kernel</h1>" in page
    assert "Aether" not in page
    assert found.keys() >= {"Summary", "Interrupts and exceptions", "Configuration", "Events by kind"}
    assert not found.keys() & {"Phases", "Wakes", "Steps of annihilation"}
    assert "outcome" not in dict(found["Summary"])


def test_what_a_payload_says_is_text_and_nothing_else() -> None:
    evil = "<script>alert(1)</script>\x1b[2J\"'&"
    page = exported(HEADER, [PayloadRejected(0, 0, 0, evil, evil)], Format.HTML).decode()
    detail = dict(tables(page)["Summary"])["detail"]
    opened(page)
    assert "<script" not in page
    assert "\x1b" not in page
    assert detail.startswith("<script>alert(1)</script>\\x1b[2J")


def test_a_message_without_end_does_not_make_a_report_without_end() -> None:
    page = exported(HEADER, [PayloadRejected(0, 0, 0, "A" * 10**6, "B" * 10**6)], Format.HTML)
    assert len(page) < 20_000


@pytest.mark.slow
def test_many_host_calls_make_a_small_report() -> None:
    page = exported(HEADER, list(host_calls(100_000)), Format.HTML)
    assert len(page) < 1_000_000
    tree = opened(page.decode())
    titles = [words(title) for title in tree.iter(f"{SVG}title")]
    assert any(title.startswith("100,000 times; each bar is") for title in titles)
    assert tables(page.decode())["Host calls"] == [["function", "count"], ["emit_signal", "100,000"]]


@settings(max_examples=60)
@given(events=EVENT_LISTS)
def test_any_events_make_a_report_that_can_be_opened(events: list[Event]) -> None:
    opened(exported(HEADER, events, Format.HTML).decode())


@settings(max_examples=100)
@given(events=EVENT_LISTS)
def test_bins_lose_nothing(events: list[Event]) -> None:
    bins = Bins(0)
    spans = [Span(a.at_ns, b.at_ns, "") for a, b in pairwise(events)]
    for span in spans:
        bins.add(span)
    assert sum(bins.begun) == len(spans)
    assert sum(bins.covered_ns) == sum(span.end_ns - span.begin_ns for span in spans)


def test_few_things_are_shown_singly_and_many_are_not() -> None:
    few, many = (Figures(HEADER, host_calls(count)).timeline.whole for count in (SHOWN_SINGLY, SHOWN_SINGLY + 1))
    assert len(few.spans[Track.HOST_CALLS].singly) == SHOWN_SINGLY
    assert many.spans[Track.HOST_CALLS].singly == []
    assert (few.spans[Track.HOST_CALLS].dense, many.spans[Track.HOST_CALLS].dense) == (False, True)


def test_the_digest_of_the_report_is_that_of_the_recording() -> None:
    events = list(host_calls(2000))
    digest = Digest(HEADER)
    for event in events:
        digest.record(event)
    assert Figures(HEADER, events).digest == digest.hexdigest()


def test_a_recording_shows_itself_in_a_notebook(run: Run) -> None:
    shown = run.recording._repr_html_()
    assert shown == fragment(run.recording.header, run.recording.events)
    tree = html5lib.HTMLParser(strict=True).parseFragment(shown)
    (element,) = tree
    assert element.attrib["class"] == "aether"
    headings = [words(h) for h in element.iter("{http://www.w3.org/1999/xhtml}h2")]
    assert headings[:2] == ["Summary", "Timeline"]
    assert headings[-1] == "Phases"
    assert Figures(run.recording.header, run.recording.events).digest in words(element)


def test_a_recording_of_nothing_yet_shows_itself() -> None:
    recording = Enclave("beacon").recording
    assert recording is not None
    assert "not entered" in recording._repr_html_()


def test_importing_the_package_imports_no_exports() -> None:
    program = "import sys, enclave_sim, enclave_sim.recording; print([m for m in sys.modules if 'exports' in m])"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed == "[]\n"


@pytest.mark.parametrize("count", [0, 1, 40, 41, 50])
def test_forty_rows_of_a_table_are_shown(count: int) -> None:
    events = [enclave.HostCalled(n, n, 1, f"call {n:02d}", 0) for n in range(count)]
    page = exported(HEADER, events, Format.HTML).decode()
    shown = tables(page).get("Host calls", [])[1:]
    assert shown == [[f"call {n:02d}", "1"] for n in range(min(count, 40))]
    assert page.count(f"<p>and {count - 40:,} more</p>") == (count > 40)
    assert page.count(" more</p>") == (count > 40)


@pytest.mark.parametrize("count", [0, 1, 16, 17, 2000])
def test_sixteen_signals_are_shown(count: int) -> None:
    events = [enclave.SignalEmitted(n, n, 10 * n) for n in range(count)]
    page = exported(HEADER, events, Format.HTML).decode()
    shown = tables(page).get("Signals", [])[1:]
    assert shown == [[str(n + 1), f"{10 * n:#010x}", f"{10 * n:,}"] for n in range(min(count, 16))]
    assert page.count(f"<p>and {count - 16:,} more</p>") == (count > 16)


@pytest.mark.parametrize("letters", [299, 300, 301])
def test_three_hundred_letters_are_shown(letters: int) -> None:
    page = exported(HEADER, [PayloadRejected(0, 0, 0, "A", "B" * (letters - 3))], Format.HTML).decode()
    detail = dict(tables(page)["Summary"])["detail"]
    assert detail == f"A: {'B' * (min(letters, 300) - 3)}" + (" ..." if letters > 300 else "")


def test_a_phase_has_when_it_was_entered_and_reached_and_how_long_it_took() -> None:
    entered = [enclave.PhaseEntered(0, 1000, "PROT_ENTRY"), enclave.PhaseCompleted(1, 3500, "PROT_ENTRY", "", 0)]
    page = exported(HEADER, [*entered, enclave.PhaseEntered(2, 4000, "MEM_MAP")], Format.HTML).decode()
    rows = tables(page)["Phases"][1:]
    assert [row[2:] for row in rows] == [
        ["1,000", "3,500", "2,500"], ["4,000", "not reached", ""], *[["not entered", "", ""]] * (len(Phase) - 2),
    ]  # fmt: skip
    assert [row[0] for row in rows] == [f"{phase:02d} {phase.name}" for phase in Phase]


def test_there_is_a_picture_of_the_boot_if_it_is_not_the_whole_run() -> None:
    ring_3 = machine.RingTransition(0, 50, 0, 3, "", None, None, 0, 0)
    for events, titles in (
        ([ring_3], ["The whole run, in virtual time"]),
        ([ring_3, machine.Halted(1, 51, True)], ["The whole run, in virtual time", "The boot", "The first cycle"]),
    ):
        tree = opened(exported(HEADER, events, Format.HTML).decode())
        assert [words(picture.find(f"{SVG}title")) for picture in tree.iter(f"{SVG}svg")] == titles
