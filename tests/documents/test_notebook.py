"""The notebooks among the pages run from top to bottom, and show what they display."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.documents.notebook import NOTEBOOKS, markdown, ran


def notebook(*cells: str) -> str:
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"c{number}",
            "metadata": {},
            "outputs": [],
            "source": [cell],
        }
        for number, cell in enumerate(cells)
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_shows_what_its_cells_display(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran(path.read_text()) == path.read_text(), "python -m tests.documents"


def test_there_is_a_tour_that_boots_steps_compares_proves_and_plots() -> None:
    (tour,) = NOTEBOOKS
    headings = [line for line in markdown(tour.read_text()).splitlines() if line.startswith("## ")]
    assert [heading.split()[1] for heading in headings] == ["Boot", "Step", "Compare", "Prove", "Plot"]


def test_outputs_are_what_is_printed_and_the_last_value() -> None:
    cells = json.loads(ran(notebook("x = 6\nprint(x)", "x * 7", "None")))["cells"]
    assert [output["text"] for output in cells[0]["outputs"]] == [["6\n"]]
    assert [output["data"] for output in cells[1]["outputs"]] == [{"text/plain": ["42"]}]
    assert cells[2]["outputs"] == []


def test_a_value_with_a_display_is_shown_as_html() -> None:
    text = ran(notebook("class C:\n    def _repr_html_(self):\n        return '<b>1</b>'", "C()"))
    assert "````{raw} html\n<b>1</b>\n````" in markdown(text)


def test_a_cell_that_fails_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        ran(notebook("1 / 0"))
