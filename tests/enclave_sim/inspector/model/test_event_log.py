"""The log of events: filters while it grows; a million events scroll and filter as fast as a thousand."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from enclave_sim.cancellation import Cancellation
from enclave_sim.inspector.model import event_log
from enclave_sim.inspector.model.event_log import EventFilter, EventLog, event_filter, event_view
from enclave_sim.inspector.panes.events import EventsPane
from enclave_sim.inspector.session.inspected_run import InspectedRun
from machine.events import Event, Halted, ModeSwitched
from tests.enclave_sim.inspector.driving import WIDE, Driven, drive

_FEW, _MANY = 1000, 1_000_000
FILTERS = pytest.mark.parametrize("words", ["", "halted", '"interruptible=true"'], ids=["all", "kind", "text"])


@pytest.fixture(scope="module")
def million() -> list[Event]:
    return [Halted(seq, seq, True) if seq % 2 else ModeSwitched(seq, seq, "long", "long", 0) for seq in range(_MANY)]


@given(
    flags=st.lists(st.booleans(), max_size=40),
    looks=st.lists(
        st.tuples(
            st.integers(0, 10), st.sampled_from(["halted", "halted mode_switched", '"true"', 'halted "false"', "3->0"])
        )
    ),
)
def test_a_filter_of_a_log_that_grows_lets_through_what_it_would_if_it_came_last(
    flags: list[bool], looks: list[tuple[int, str]]
) -> None:
    events: list[Event] = []
    log = EventLog(events, Cancellation())
    to_come = [
        Halted(seq, seq, flag) if seq % 3 else ModeSwitched(seq, seq, "long", "long", 0)
        for seq, flag in enumerate(flags)
    ]
    for number, words in looks:
        events += to_come[len(events) : len(events) + number]
        log.follow()
        wanted, seen = event_filter(words), max(0, len(events) - 1)
        expected: list[int | None] = [event.seq for event in events[:seen] if wanted.matches(event)]
        assert list(log.places(wanted, seen)) == expected
        assert [row.target.event for row in event_view(log, seen, wanted).rows] == (expected or [None])


@pytest.mark.speed
@FILTERS
def test_a_screen_of_a_million_events_costs_no_more_than_one_of_a_thousand(million: list[Event], words: str) -> None:
    short, long = (_rows_s(events, event_filter(words)) for events in (million[:_FEW], million))
    assert long < 20 * short + 0.005


def _rows_s(events: list[Event], wanted: EventFilter) -> float:
    log = EventLog(events, Cancellation())
    log.follow()
    log.places(wanted, len(events))
    best = 1.0
    for part in range(5):
        begun = perf_counter()
        view = event_view(log, len(events), wanted)
        top = part * (len(view.rows) - 40) // 5
        for index in range(top, top + 40):
            assert view.rows[index].text
        best = min(best, perf_counter() - begun)
    return best


@contextmanager
def shown_log(driven: Driven, events: list[Event], words: str = "") -> Iterator[EventsPane]:
    """The event pane alone, with events that are not the run's."""
    moment = driven.app.desk.session._moment
    assert moment is not None
    log, moment.log = moment.log, EventLog(events, moment.run.cancellation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InspectedRun, "seen", property(lambda _run: len(events)))
        pane = driven.app.query_one(EventsPane)
        pane.filter = event_filter(words)
        yield pane
    moment.log = log


@pytest.mark.speed
@FILTERS
def test_keys_in_a_log_of_a_million_events_are_drawn_as_fast_as_in_one_of_a_thousand(
    million: list[Event], words: str
) -> None:
    taken: dict[int, list[float]] = {}

    async def script(driven: Driven) -> None:
        for events in (million[:_FEW], million):
            with shown_log(driven, events, words) as pane:
                await driven.press(EventsPane.KEY)
                assert pane.count == (len(events) // 2 if words else len(events))
                taken[len(events)] = [await _drawn_s(driven, pane, key) for key in _KEYS]
                await driven.press("1")

    drive(script, WIDE)
    for key, few, many in zip(_KEYS, taken[_FEW], taken[_MANY], strict=True):
        assert many < 3 * few, (key, few, many)


_KEYS = ("end", "pageup", "home", "pagedown")
_REPEATED = 8


async def _drawn_s(driven: Driven, pane: EventsPane, key: str) -> float:
    """Seconds from a key to the drawn screen; the best of several, because hosts are shared."""
    best = 60.0
    for _ in range(_REPEATED):
        await driven.press("home" if key in ("end", "pagedown") else "end")
        at, begun, drawn = pane.cursor, perf_counter(), asyncio.Event()
        await driven.app._press_keys([key])
        while pane.cursor == at:
            await asyncio.sleep(0)
        pane.screen.call_after_refresh(drawn.set)
        await drawn.wait()
        best = min(best, perf_counter() - begun)
    return best


@pytest.mark.slow
def test_escape_cancels_the_first_look_of_a_filter_and_the_one_before_stays(
    million: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_filter: EventFilter, _event: Event) -> bool:
        sleep(0.001)  # a million events would take a quarter of an hour
        return False

    async def script(driven: Driven) -> None:
        with shown_log(driven, million, "halted") as pane:
            await driven.press(EventsPane.KEY)
            before = pane.count
            monkeypatch.setattr(event_log, "_CHECKPOINT", 10)
            monkeypatch.setattr(EventFilter, "matches", slow)
            await driven.pilot.press("f")
            driven.app.screen.query_one(Input).value = '"at no time"'
            await driven.pilot.press("enter")
            await _until_says(driven, "filtering ...")
            await driven.pilot.press("escape")
            await driven.settle()
            assert driven.said.startswith("cancelled filtering")
            assert pane.filter.words == "halted"
            assert pane.count == before
            await driven.press("home", "down")
            assert pane.cursor == 1

    drive(script, WIDE)


async def _until_says(driven: Driven, words: str) -> None:
    for _ in range(60_000):
        if driven.said.startswith(words):
            return
        await driven.pilot.pause(0.005)
    raise TimeoutError(words)
