"""The figures of a report, and the wording of its summary."""

import pytest

from enclave_sim import events as enclave
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.picture.figures import Figures
from machine import events as machine
from machine.events import Event
from tests.enclave_sim.recording.exports.html_tables import tables
from tests.enclave_sim.recording.exports.runs import HEADER, exported


def began(at_ns: int = 5) -> Event:
    return enclave.AnnihilationBegan(0, at_ns, "TAMPER", 0, "why")


SCANNED = enclave.ResidueScanned(0, 9, 3 << 20, 0)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([], "LIMIT"),
        ([began()], "LIMIT"),
        ([began(), SCANNED], "TAMPER"),
        ([SCANNED], "LIMIT"),
        ([enclave.KernelStopped(0, 5, "stuck", 1, 2)], "KERNEL_STOPPED"),
    ],
)
def test_the_outcome_is_the_cause_of_a_run_that_is_over(events: list[Event], outcome: str) -> None:
    assert Figures(HEADER, events).outcome == outcome


@pytest.mark.parametrize(
    ("left", "said"), [(0, "0 bytes in 3 MiB of RAM"), (1, "1 byte in 3 MiB of RAM"), (2, "2 bytes in 3 MiB of RAM")]
)
def test_residue_is_reported_with_what_was_scanned(left: int, said: str) -> None:
    scanned = enclave.ResidueScanned(0, 9, 3 << 20, left)
    assert dict(tables(exported(HEADER, [scanned], Format.HTML).decode())["Summary"])["residue"] == said


def test_figures_are_counted() -> None:
    events: list[Event] = [
        machine.InterruptRaised(0, 1, 14, "exception", None, None, 0, 0),
        machine.InterruptRaised(1, 2, 14, "exception", None, None, 0, 0),
        machine.InterruptRaised(2, 3, 14, "software", None, None, 0, 0),
        enclave.HostCalled(3, 4, 1, "emit_signal", 0),
        enclave.Scrubbed(4, 5, "heap", 0, 1000, "cycle", True),
        enclave.Scrubbed(5, 6, "heap", 0, 2000, "boot", False),
        enclave.Scrubbed(6, 7, "arena", 0, 5, "cycle", True),
        enclave.Woken(7, 8, "timer", 0, 3),
        enclave.Woken(8, 9, "timer", 0, 5),
        enclave.Woken(9, 10, "external", None, None),
    ]
    figures = Figures(HEADER, events)
    assert figures.interrupts == {(14, "exception"): 2, (14, "software"): 1}
    assert figures.host_calls == {"emit_signal": 1}
    regions = {name: (one.times, one.total_bytes, one.not_zero) for name, one in figures.scrubs.items()}
    assert regions == {"heap": (2, 3000, 1), "arena": (1, 5, 0)}
    assert figures.scrub_causes == {"cycle": 2, "boot": 1}
    assert figures.wakes == {"timer": 2, "external": 1}
    assert figures.latencies_ns == {3: 1, 5: 1}
    assert (figures.virtual_ns, figures.events, figures.residue) == (10, 10, None)
    summary = dict(tables(exported(HEADER, events, Format.HTML).decode())["Summary"])
    assert summary["wake latency"].startswith(
        "3 to 5 ns in 2 wakes, spread 2 ns; from the deadline to the handler's first"
    )
    assert summary["scrubs"] == "3, 1 NOT FOUND ZERO"
    assert summary["cycles begun"] == "0 of 1"
    assert summary["residue"] == "not looked for: the recording ends before the enclave is dormant"
