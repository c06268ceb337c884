"""The header and a strip along the run show the ring; the strip leads to every place of the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.inspector.model.machine.address_space import address_space_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning
from enclave_sim.inspector.model.strip import strip_view
from enclave_sim.memory_map import regions
from machine.events import RingTransition
from tests.enclave_sim.inspector.driving import RESIDENT, SIZES, Driven, Size, drive
from tests.enclave_sim.inspector.moments import moment_of


@pytest.fixture(scope="module")
def explored() -> Moment:
    moment = moment_of("counter")
    moment.run.run_to(event="host_called")
    moment.run.explore()
    moment.follow()
    return moment


def test_exploring_finds_all_events_and_moves_nothing(explored: Moment) -> None:
    assert explored.run.is_explored
    assert explored.log.events[explored.seen - 1].__class__.__name__ == "HostCalled"
    assert explored.log.events[-1].__class__.__name__ == "ResidueScanned"


@given(columns=st.integers(1, 300))
def test_every_column_leads_to_an_event_that_is_drawn_there(explored: Moment, columns: int) -> None:
    rows, count = strip_view(explored, columns).rows, len(explored.log.events)
    for column, row in enumerate(rows):
        seq = row.target.event
        assert seq is not None
        assert seq * columns // count == column or (columns > count and seq * columns // count < column)


def test_as_wide_as_the_run_every_event_has_its_ring_and_its_mark(explored: Moment) -> None:
    events = explored.log.events
    drawn = [row.parts[0] for row in strip_view(explored, len(events)).rows]
    assert len(drawn) == len(events)
    ring = 0
    for event, (char, meaning) in zip(events, drawn, strict=True):
        if isinstance(event, RingTransition):
            ring = event.to_ring
        here = event.seq == explored.seen - 1
        assert meaning is (Meaning.HERE if here else Meaning.RING_3 if ring else Meaning.RING_0)
        assert char in ("-Am1234C" if ring == 0 else "=h")
    assert "".join(char for char, _ in drawn if char not in "-=m") == "123C4hhA"


def test_a_run_whose_end_is_not_known_says_so() -> None:
    moment = moment_of("counter")
    moment.follow()
    text = "".join(row.text for row in strip_view(moment, 40).rows)
    assert text.endswith(" ..")
    assert len(text) == 40


def test_the_address_space_has_the_rights_of_the_memory_map_and_rip_and_rsp(explored: Moment) -> None:
    rows = [row.text for row in address_space_view(explored).rows]
    for region in regions():
        if region.name in ("staging", "page_tables", *RESIDENT):
            continue
        row = next(text for text in rows if text[29:].split()[:1] == [region.name])
        kernel, guest = row[19:22], row[25:28]
        assert (guest, kernel) == ((region.rights, "---") if region.ring == 3 else ("---", region.rights)), row
    assert [text[31:35] for text in rows if "<RIP" in text] == ["gate"]
    assert [text[31:42] for text in rows if "<RSP" in text] == ["guest_stack"]
    assert sum(text[31:].startswith("not mapped") for text in rows) > 5


@pytest.mark.slow
@SIZES
def test_a_click_and_a_drag_on_the_strip_go_there_and_the_header_names_the_ring(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "left_square_bracket")
        header = driven.app.screen.query_one("#status")
        assert str(header.render()).startswith(" RING 0 kernel ")
        text = driven.app.desk.screen.query_one("#strip").render()
        column = str(text).index("h")
        await driven.pilot.click("#strip", offset=(column + 1, 0))
        await driven.settle()
        assert driven.standing.ring == 3
        assert str(header.render()).startswith(" RING 3 guest ")
        there = driven.standing.position
        await driven.pilot.mouse_down("#strip", offset=(5, 0))
        await driven.settle()
        assert driven.standing.position < there
        await driven.pilot.hover("#strip", offset=(column + 1, 0))
        await driven.settle()
        await driven.pilot.mouse_up("#strip", offset=(column + 1, 0))
        assert driven.standing.position == there
        await driven.press("less_than_sign")
        assert driven.standing.position == there, "a drag is one jump"

    drive(script, size)


@pytest.mark.slow
def test_the_strip_is_as_wide_as_the_terminal_after_each_resize() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket")
        for columns, rows in ((20, 5), (80, 24), (160, 50)):
            await driven.pilot.resize_terminal(columns, rows)
            await driven.settle()
            strip = driven.app.desk.screen.query_one("#strip")
            assert len(str(strip.render())) == strip.content_size.width

    drive(script)
