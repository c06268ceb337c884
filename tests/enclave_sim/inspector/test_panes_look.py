"""The look of every pane, compared with stored pictures, which RENEW=1 draws anew."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.session.sources import Source, source_of
from tests.enclave_sim.inspector.driving import NARROW, NEVER, WIDE, Driven, Size
from tests.machine.boot import images
from tests.renewing import RENEW

pytestmark = pytest.mark.slow

PICTURES = Path(__file__).parent / "pictures"
_KEYS = ("p", "h", "t", "s", "s", "s")
"""Into the handler of the first host call."""


def picture(size: Size, *keys: str) -> str:
    """The screen at the first host call after these keys, as SVG."""
    return drawn_of(source_of(("counter",), EnclaveOptions.of(cycles=2)), size, *_KEYS, *keys)


def drawn_of(source: Source, size: Size, *keys: str) -> str:
    """The screen after these keys, as SVG."""

    async def drawn() -> str:
        app = Inspector(source.open)
        app.queries.idle_s = NEVER
        async with app.run_test(size=size) as pilot:
            driven = Driven(app, pilot)
            await driven.settle()
            await driven.press(*keys)
            return app.export_screenshot(title="inspector", simplify=True)

    return re.sub(r"terminal-\d+", "terminal", asyncio.run(drawn()))


def assert_as_it_was(name: str, drawn: str) -> None:
    path = PICTURES / f"{name}.svg"
    if RENEW:
        path.write_text(drawn, encoding="utf-8")
    assert words(drawn) == words(path.read_text(encoding="utf-8"))
    assert drawn == path.read_text(encoding="utf-8"), f"{path} is of other colours or places"


def words(svg: str) -> list[str]:
    """The text of a picture, for a readable difference."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", svg)


@pytest.mark.slow
@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.NAME)
def test_pane_alone_looks_as_it_did(pane: Any) -> None:
    assert_as_it_was(f"pane {pane.NAME}", picture(NARROW, pane.KEY))


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "200x60"])
def test_overview_looks_as_it_did(size: Size) -> None:
    assert_as_it_was(f"overview {size[0]}x{size[1]}", picture(size))


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "200x60"])
def test_a_kernel_of_ones_own_looks_as_it_did(size: Size, tmp_path: Path) -> None:
    path = tmp_path / "kernel.elf"
    path.write_bytes(images.kernel1(code=b"\x90" * 20 + images.CODE))
    source = source_of((str(path),), kernel_options=KernelOptions(ram_bytes=4 << 20))
    assert_as_it_was(f"kernel {size[0]}x{size[1]}", drawn_of(source, size, "d", "s"))


def test_help_looks_as_it_did() -> None:
    assert_as_it_was("help", picture(NARROW, "question_mark"))


def test_a_question_looks_as_it_did() -> None:
    assert_as_it_was("question", picture(NARROW, "g"))


def test_without_colour_the_overview_looks_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert_as_it_was("overview without colour", picture(NARROW))
