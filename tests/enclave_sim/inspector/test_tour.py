"""The documentation's pictures match the program's."""

import asyncio
from pathlib import Path

import pytest

from enclave_sim.inspector.serving.screenshots import TOUR, pictures

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.slow
def test_the_pictures_in_the_documentation_are_what_the_inspector_shows() -> None:
    made = asyncio.run(pictures())
    assert list(made) == [scene.name for scene in TOUR]
    for name, svg in made.items():
        assert (DOCS / "inspector" / f"{name}.svg").read_text(encoding="utf-8") == svg, name


def test_the_documentation_shows_every_picture() -> None:
    text = (DOCS / "inspector.md").read_text(encoding="utf-8")
    assert all(f"(inspector/{scene.name}.svg)" in text for scene in TOUR)
