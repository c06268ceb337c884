"""The pictures of the tour in the documentation: `python -m enclave_sim.inspector.serving.screenshots [DIR]`.

Each scene is a picture of the screen after some keys, independent of time and host.
"""

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.session.sources import source_of

_PAUSE_S = 0.005


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture of the tour, taken after some keys, at a size in columns and rows."""

    name: str
    keys: tuple[str, ...]
    size: tuple[int, int] = (100, 30)


TOUR = (
    Scene("overview", ("p", "p", "p", "p"), (200, 60)),
    Scene("host-call", ("h", "t", "s", "s", "6")),
    Scene("guest", ("5",)),
    Scene("phases", ("2",)),
    Scene("memory", ("7",)),
    Scene("space", ("semicolon",)),
    Scene("tables", ("9",)),
    Scene("devices", ("0", "v", "v")),
    Scene("events", ("right_square_bracket", "minus")),
    Scene("writer", ("H", "t", "8", "W")),
    Scene("guarantees", ("right_square_bracket", "equals_sign")),
)


async def settle(app: Inspector, pilot: Pilot[None]) -> None:
    """Wait until all jobs are done and shown."""
    while True:
        await pilot.pause()
        if app.desk.seen is not None and not app.desk.session.waiting and app.desk.answered == app.desk.session.shown:
            await pilot.pause()
            if not app.desk.session.waiting:
                return
        await asyncio.sleep(_PAUSE_S)


async def pictures() -> dict[str, str]:
    """Return the SVG pictures by name, in the order of the tour."""
    app = Inspector(source_of(("counter",), EnclaveOptions.of(cycles=2)).open)
    app.queries.idle_s = 3600  # so that the inspector does not start a search when idle
    found: dict[str, str] = {}
    async with app.run_test(size=TOUR[0].size) as pilot:
        await settle(app, pilot)
        for scene in TOUR:
            await pilot.resize_terminal(*scene.size)
            await settle(app, pilot)
            for key in scene.keys:
                await pilot.press(key)
                await settle(app, pilot)
            found[scene.name] = _stable(app.export_screenshot(title=f"enclave-sim inspect counter: {scene.name}"))
    return found


def _stable(svg: str) -> str:
    """Remove names that vary, and fonts from other sites."""
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main(directory: Path) -> None:
    """Write the pictures to a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, svg in asyncio.run(pictures()).items():
        (directory / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/inspector"))
