"""Enclaves, results, sessions, reports and recordings show themselves in a notebook, and as a data frame."""

import sys
from collections.abc import Callable
from typing import Any

import html5lib
import pytest

from enclave_sim import Enclave, Phase, Recording
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import observe, zero_trace
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.time_travel import Session


def view(shown: Any) -> str:
    """The text of what a notebook shows. Fails where a browser would have to guess."""
    page = f"<!DOCTYPE html><html><head><title>x</title></head><body>{shown._repr_html_()}</body></html>"
    found = html5lib.HTMLParser(strict=True).parse(page.replace("<style>", "<p hidden>").replace("</style>", "</p>"))
    return " ".join(" ".join(found.itertext()).split())


def test_an_enclave_shows_its_state_before_during_and_after_its_run() -> None:
    enclave = Enclave("counter", cycles=2)
    assert repr(enclave) == "<Enclave counter: before the first phase, 0 ns, 1 event>"
    assert "before the first phase" in view(enclave)
    enclave.run_to(Phase.MEM_MAP)
    assert repr(enclave).startswith("<Enclave counter: MEM_MAP, ")
    enclave.run()
    assert repr(enclave).startswith("<Enclave counter: dormant, ")
    assert "The whole run, in virtual time" in view(enclave)


def test_an_enclave_without_a_recording_shows_its_state_alone() -> None:
    enclave = Enclave("beacon", record=False)
    enclave.run()
    assert "dormant" in view(enclave)
    assert "The whole run" not in view(enclave)


def test_a_payload_that_is_not_built_in_is_named_by_its_digest(guest: Callable[[str], bytes]) -> None:
    enclave = Enclave(guest('(func (export "_start"))'))
    assert f"<Enclave {enclave.header.payload_sha256[0][:12]}...: " in repr(enclave)


def test_a_result_shows_outcome_time_and_residue() -> None:
    result = Enclave("counter", cycles=2).run()
    shown = f"<RunResult COMPLETED: {result.virtual_ns:,} ns, 2 cycles, 4 signals, {result.events} events, no residue, "
    assert repr(result) == f"{shown}digest {result.digest[:12]}...>"
    for words in (result.digest, "4: 0x1, 0x1, 0x1, 0x1", "Architecture Locked at", "2 accepted, 0 refused"):
        assert words in view(result)
    unfinished = Enclave("counter").run(limit_ns=300_000)
    assert "residue not looked for" in repr(unfinished)
    assert "not reached" in view(unfinished)


def test_a_session_shows_its_position_and_the_run_so_far() -> None:
    session = Session("counter")
    session.run_to(event="host_called")
    assert repr(session).startswith(f"<Session at {session.now}, gate.S:")
    assert f"{len(session.events)} events: <Enclave counter: EXEC_LOOP, " in repr(session)
    assert str(session.now) in view(session)
    assert "The whole run, in virtual time" in view(session)


def test_a_report_shows_its_verdict_and_its_findings() -> None:
    report = zero_trace([observe("beacon")])
    assert repr(report).startswith("<Report zero-trace: holds (runs 1, ")
    assert "verdict holds" in view(report)
    broken = Report("odd", (Finding("a <b>bad</b> thing", 5, ("at 0x10",)),), {"runs": 1})
    assert repr(broken) == "<Report odd: BROKEN (runs 1)>"
    assert "a <b>bad</b> thing (at 5 ns) at 0x10" in view(broken)


def recorded() -> Recording:
    enclave = Enclave("counter", cycles=2)
    enclave.run()
    assert enclave.recording is not None
    return enclave.recording


def test_a_recording_is_a_table_with_a_row_for_each_event() -> None:
    recording = recorded()
    table = recording.to_arrow()
    assert table["kind"].to_pylist() == [event.__struct_config__.tag for event in recording.events]
    assert table["at_ns"].to_pylist() == [event.at_ns for event in recording.events]
    assert set(table["cycle"].to_pylist()) == {None, 0, 1}
    last_ns = recording.events[-1].at_ns
    assert repr(recording) == f"<Recording: {len(recording.events)} events, the last at {last_ns:,} ns>"
    assert Recording(recording.header).to_arrow().num_rows == 0


def test_without_pyarrow_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "enclave_sim.recording.exports.parquet", raising=False)
    with pytest.raises(ConfigurationError, match=r"pyarrow: pip install '\.\[arrow\]'") as caught:
        recording.to_arrow()
    assert "\n" not in str(caught.value)
