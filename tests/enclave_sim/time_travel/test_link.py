"""A link leads to the same position of the same run, and to nothing else."""

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import firmware
from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.inputs import MemoryWrite, SensorValue
from enclave_sim.time_travel import Link, Position, Session, Travel, follow_link, link_to_here
from enclave_sim.time_travel.link import LONGEST, LONGEST_NOTE, LinkError
from tests.enclave_sim.time_travel.links import LINKS, TEXTS

IMAGE = firmware.built_in().image


@cache
def session() -> Session:
    return Session("counter", cycles=2)


@given(LINKS.filter(lambda link: len(str(link)) <= LONGEST))
def test_a_link_is_read_as_it_was_written(link: Link) -> None:
    text = str(link)
    assert Link.parse(text) == link
    assert Link.parse(f"  {text}\n") == link
    assert text.isascii()
    assert not set(text) & set(" \t\n\"'`<>\\")


def hostile(link: Link) -> st.SearchStrategy[str]:
    """A link, changed at one place."""
    text = str(link)
    places = st.integers(0, len(text) - 1)
    pieces = st.sampled_from(["", "&", "=", "%", "%00", "%ff", "+", "?", "\x1b", "\n", "9" * 30, "é"]) | st.text()
    return st.builds(
        lambda at, length, piece: text[:at] + piece + text[at + length :], places, st.integers(0, 9), pieces
    )


@given(st.text() | st.text().map("enclave-sim:".__add__) | LINKS.flatmap(hostile))
@example("enclave-sim:" + "1" * 10_000)
@example("enclave-sim:1?")
def test_any_text_is_a_link_or_one_error_on_one_line(text: str) -> None:
    link, said = parsed(text)
    if link is None:
        assert said.isprintable()
        assert len(said) < 300
    else:
        assert Link.parse(str(link)) == link


def parsed(text: str) -> tuple[Link | None, str]:
    try:
        return Link.parse(text), ""
    except LinkError as error:
        return None, str(error)


@given(st.integers(0, 2_500_000), st.integers(0, 40), TEXTS.filter(lambda text: len(text) <= LONGEST_NOTE))
def test_a_link_to_any_position_leads_there_in_another_session(at_ns: int, steps: int, note: str) -> None:
    run, other = session(), Session("counter", cycles=2)
    (run.reverse_to if at_ns < run.now.at_ns else run.run_to)(at_ns=at_ns)
    run.step(steps)
    link = link_to_here(run, note=note, pane="code")
    assert Link.parse(str(link)).note == " ".join(note.split())
    assert follow_link(other, str(link)) == link
    assert other.now == run.now
    assert other.events == run.events


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: Session("counter", cycles=3), "its cycles is 2, and here 3"),
        (lambda: Session("counter"), "its cycles is 2, and here the default"),
        (lambda: Session("counter", cycles=2, wake_ns=5000), "its wake_ns is the default, and here 5000"),
        (lambda: Session("digest", cycles=2), "its payloads are others"),
        (lambda: Session("runner", engine="native", cycles=2), 'its engine is the default, and here "native"'),
        (lambda: Session("counter", cycles=2, tpm_seed="x" * 200), "its configuration is another"),
        (
            lambda: Session("counter", cycles=2, inputs=[SensorValue(at_ns=5, sensor=0, value=7)]),
            "its inputs up to there are others",
        ),
        (
            lambda: Travel(lambda log: BareKernel("a", IMAGE, recorder=log)),
            "its payloads are others",
        ),
    ],
)
def test_a_link_to_another_run_is_refused_and_says_what_differs(other: Callable[[], Any], words: str) -> None:
    run = Session("counter", cycles=2)
    run.run_to(event="host_called")
    link = link_to_here(run)
    found = other()
    found.step(3)
    here = found.now
    with pytest.raises(LinkError, match="belongs to another run") as caught:
        follow_link(found, link)
    assert words in str(caught.value)
    assert found.now == here


def test_a_link_is_refused_if_the_events_before_it_are_others() -> None:
    run = session()
    run.reverse_to(at_ns=0) if run.now.at_ns else None
    run.run_to(event="host_called")
    link = link_to_here(run)
    changed = msgspec.structs.replace(link, run=msgspec.structs.replace(link.run, events="0" * 16))
    with pytest.raises(LinkError, match=r"its first \d+ events are others"):
        follow_link(Session("counter", cycles=2), changed)
    fewer = msgspec.structs.replace(link, run=msgspec.structs.replace(link.run, seen=3))
    with pytest.raises(LinkError, match=r"it has 3 events up to there, and here \d+"):
        follow_link(Session("counter", cycles=2), fewer)
    never = msgspec.structs.replace(link, position=Position(10**12))
    with pytest.raises(LinkError, match="belongs to another run: there is no"):
        follow_link(Session("counter", cycles=2), never)


def test_inputs_count_up_to_the_position_and_whether_given_or_scheduled() -> None:
    """A later input does not matter; one given by hand is the same as one scheduled for that time."""
    run = Session("counter", cycles=2)
    run.run_to(at_ns=1_000_000)
    before = link_to_here(run)
    write = MemoryWrite(at_ns=run.now.at_ns, address=0x500, data="616263")
    run.take(write)
    run.step()
    after = link_to_here(run)
    scheduled = Session("counter", cycles=2, inputs=[write])
    with pytest.raises(LinkError, match="its inputs up to there are others"):
        follow_link(Session("counter", cycles=2), after)
    follow_link(scheduled, after)
    assert scheduled.enclave.machine.ram.read(0x500, 3) == b"abc"
    follow_link(Session("counter", cycles=2, inputs=[MemoryWrite(at_ns=2_000_000, address=0x500, data="78")]), before)


@pytest.mark.slow
def test_a_link_to_a_bare_kernel_leads_there_whenever_its_run_ends() -> None:
    def made(**options: Any) -> Travel[BareKernel]:
        sized = {"ram_bytes": 16 << 20, **options}
        return Travel(lambda log: BareKernel("aether.elf", IMAGE, recorder=log, **sized))

    run = made()
    run.run_to(event="mode_switched", when=lambda event: event.mode == "long")
    link = link_to_here(run)
    other = made()
    follow_link(other, str(link))
    assert (other.now, other.line) == (run.now, run.line)
    with pytest.raises(LinkError, match="its ram_size is 16777216, and here 33554432"):
        follow_link(made(ram_bytes=32 << 20), link)


@pytest.mark.parametrize("note", ["x" * (LONGEST_NOTE + 1), "\x1b[2J", "a\x00b"])
def test_a_note_is_one_short_printable_line(note: str) -> None:
    with pytest.raises(LinkError, match="a note "):
        link_to_here(session(), note=note)
    text = f"{link_to_here(session())}&note={quote(note)}"
    with pytest.raises(LinkError, match="a note "):
        Link.parse(text)
