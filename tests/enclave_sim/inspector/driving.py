"""An inspector without a terminal, driven by keys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from textual.pilot import Pilot

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.session.sources import Source, source_of

Size = tuple[int, int]
NARROW, WIDE = (80, 24), (200, 60)
RESIDENT = ("vmm_text", "vmm_rodata", "globals", "values", "calls")
"""Regions that ring 3 has only while the resident VMM runs a guest."""
SIZES = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "200x60"])
"""For tests of keys: both sizes for which the inspector is designed."""
Script = Callable[["Driven"], Awaitable[None]]
NEVER = 3600.0
_PATIENCE_S = 300.0


class Driven:
    """A running inspector."""

    def __init__(self, app: Inspector, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    async def settle(self) -> None:
        """Wait until all requests are done and drawn."""
        for _ in range(int(_PATIENCE_S / 0.005)):
            await self.pilot.pause()
            session = self.app.desk.session
            if self.app.desk.seen is not None and not session.waiting and self.app.desk.answered == session.shown:
                await self.pilot.pause()
                if not session.waiting and self.app.desk.answered == session.shown:
                    return
            await asyncio.sleep(0.005)
        raise TimeoutError("the inspector does not come to rest")

    async def press(self, *keys: str) -> None:
        """Press keys, all at once, and wait for their effect."""
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        """Answer a question."""
        await self.pilot.pause()
        for one in text:
            await self.pilot.press({" ": "space"}.get(one, one))
        await self.press("enter")

    @property
    def standing(self) -> Any:
        """The shown state of the run."""
        assert self.app.desk.seen is not None
        return self.app.desk.seen.standing

    @property
    def said(self) -> str:
        """The line at the bottom."""
        return str(self.app.screen_stack[0].query_one("#said").render())

    def rows(self, pane: str) -> list[str]:
        """The text of a pane."""
        view = self.app.desk.seen.views[pane] if self.app.desk.seen is not None else None
        assert view is not None
        return [row.text for row in view.rows]


def million_additions_s(clock: Callable[[], float] = perf_counter) -> float:
    """The reference for times: 25 ms on a typical host."""
    begun, total = clock(), 0
    for number in range(1_000_000):
        total += number
    assert total
    return clock() - begun


def drive(
    script: Script,
    size: Size = NARROW,
    source: Source | None = None,
    idle_s: float = NEVER,
    bookmarks: Path | None = None,
) -> None:
    """Run a script on an inspector, which starts background work after `idle_s` idle seconds."""
    chosen = source or source_of(("counter",), EnclaveOptions.of(cycles=2))

    async def main() -> None:
        app = Inspector(chosen.open, bookmarks=bookmarks)
        app.queries.idle_s = idle_s
        async with app.run_test(size=size) as pilot:
            driven = Driven(app, pilot)
            await driven.settle()
            await script(driven)
        assert app.desk.broken is None

    asyncio.run(main())


def row_with(driven: Driven, pane: str, text: str) -> int:
    """Index of the first row of a pane that contains a text."""
    return next(index for index, row in enumerate(driven.rows(pane)) if text in row)
