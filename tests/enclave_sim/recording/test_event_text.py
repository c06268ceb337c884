"""Events as lines: columns of a fixed width, then the fields, with readable numbers."""

import msgspec
import pytest

from enclave_sim import events
from enclave_sim.inputs import GuestReplaced, Tamper
from enclave_sim.recording.comparison.divergence import Divergence
from enclave_sim.recording.event_text import differing_lines, event_line, heading, marked
from machine.events import Event, Halted, InterruptRaised


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Halted(0, 0, True), "        0                0  halted                   interruptible=true"),
        (Halted(1234, 5678, False), "    1,234            5,678  halted                   interruptible=false"),
        (
            InterruptRaised(1, 2, 14, "exception", None, 0x1000, 0x20, 3),
            "        1                2  interrupt_raised         "
            "vector=0xe source=exception address=0x1000 rip=0x20 ring=3",
        ),
        (events.CycleBegan(0, 0, 17), "        0                0  cycle_began              cycle=17"),
        (
            events.AnnihilationStep(0, 0, "A1", ""),
            '        0                0  annihilation_step        step=A1 meaning=""',
        ),
        (
            events.AnnihilationStep(0, 0, "A1", "two words"),
            '        0                0  annihilation_step        step=A1 meaning="two words"',
        ),
        (
            events.AnnihilationStep(0, 0, "A1", "a\x1bb"),
            "        0                0  annihilation_step        step=A1 meaning=a\\x1bb",
        ),
        (
            events.InputTaken(9, 9, "tamper", None, Tamper(at_ns=5)),
            '        9                9  input_taken              input=tamper given={"input":"tamper","at_ns":5}',
        ),
    ],
)  # fmt: skip
def test_an_event_is_a_line(event: Event, line: str) -> None:
    assert event_line(event) == line


def test_an_event_without_fields_has_no_space_at_its_end() -> None:
    assert event_line(events.GuestDestroyed(0, 0)) == "        0                0  guest_destroyed"


def test_an_input_is_cut_after_100_characters() -> None:
    lengths = set()
    for digits in range(20):
        given = GuestReplaced(at_ns=10**digits, payload=0, code=bytes(24))
        whole = msgspec.json.encode(given).decode()
        shown = event_line(events.InputTaken(0, 0, "x", None, given)).partition(" given=")[2]
        assert shown == (whole if len(whole) <= 100 else whole[:100] + "...")
        lengths.add(len(whole))
    assert {100, 101} <= lengths


def test_the_heading_is_above_the_columns() -> None:
    assert heading() == "    event            at ns  kind                     fields"


def test_lines_that_differ_are_marked() -> None:
    before, first, second = (Halted(n, n, True) for n in range(3))
    lines = list(differing_lines(Divergence((before,), (first,), (second, before)), "a", "b"))
    assert lines == [
        f"  {heading()}",
        f"  {event_line(before)}",
        f"- {event_line(first)}",
        f"+ {event_line(second)}",
        f"+ {event_line(before)}",
    ]
    lines = list(differing_lines(Divergence((), (), ()), "a", "b"))
    assert lines == [f"  {heading()}", "- a ends here", "+ b ends here"]


def test_where_there_is_no_event_something_can_be_said() -> None:
    assert list(marked(" ", ())) == []
    assert list(marked("-", (), "nothing")) == ["- nothing"]
    assert list(marked("-", (Halted(0, 0, True),), "nothing")) == [f"- {event_line(Halted(0, 0, True))}"]
