"""How every pane looks, as pictures that are compared. `pytest --snapshot-update` draws them anew."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.sources import source_of
from tests.enclave_sim.inspector.driving import NARROW, WIDE, Driven

_KEYS = ("p", "h", "t", "s", "s", "s")
"""Into the handler of the first host call."""
_Compare = Callable[..., bool]


def _shows(snap_compare: _Compare, size: tuple[int, int], *keys: str) -> bool:
    async def before(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        driven = Driven(app, pilot)
        await driven.settle()
        await driven.press(*_KEYS, *keys)

    app = Inspector(source_of(("counter",), {"cycles": 2}).open)
    return snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.NAME)
def test_pane_alone_looks_as_it_did(snap_compare: _Compare, pane: Any) -> None:
    assert _shows(snap_compare, NARROW, pane.KEY)


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "200x60"])
def test_overview_looks_as_it_did(snap_compare: _Compare, size: tuple[int, int]) -> None:
    assert _shows(snap_compare, size)


def test_help_looks_as_it_did(snap_compare: _Compare) -> None:
    assert _shows(snap_compare, NARROW, "question_mark")


def test_a_question_looks_as_it_did(snap_compare: _Compare) -> None:
    assert _shows(snap_compare, NARROW, "g")


def test_without_colour_the_overview_looks_as_it_did(snap_compare: _Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert _shows(snap_compare, NARROW)
