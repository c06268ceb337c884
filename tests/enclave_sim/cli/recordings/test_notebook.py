"""`enclave-sim notebook`."""

from pathlib import Path

import msgspec
import pytest

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.notebook import Walk
from tests.enclave_sim.cli.command import assert_refused, command


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    walk = Walk(Session("counter", cycles=2))
    walk.ask("run_to event=host_called")
    walk.ask("registers rip")
    path = tmp_path / "walk.md"
    path.write_text(walk.notebook.markdown(), encoding="utf-8")
    return path


def test_equal_answers(walk: Path) -> None:
    ended = command("notebook", walk)
    assert (ended.code, ended.output) == (ExitCode.OK, "equal: 2 answers\n")
    assert msgspec.json.decode(command("notebook", walk, "--json").output) == {
        "equal": True,
        "answers": 2,
        "differences": [],
    }


def test_other_answers(walk: Path) -> None:
    text = walk.read_text(encoding="utf-8")
    walk.write_text(text.replace("rip 0x", "rip 0xf").replace("\n", "\r\n"), encoding="utf-8", newline="")
    ended = command("notebook", walk)
    assert ended.code == ExitCode.DIVERGED
    head, blank, question, first, second = ended.output.splitlines()
    assert (head, blank) == ("DIVERGED: 1 of 2 answers (- notebook, + run)", "")
    assert question == "   2 > registers rip"
    assert first.replace("- rip 0xf", "+ rip 0x") == second


def test_a_page(walk: Path, tmp_path: Path) -> None:
    page = tmp_path / "walk.html"
    assert command("notebook", walk, "--html", page).code == ExitCode.OK
    assert "<b>&gt; registers rip</b>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "is not UTF-8 text"),
        (b"# x\n", "it has no block"),
        (b"```enclave-sim\n> step\n", "line 1: this block"),
    ],
)
def test_what_is_no_notebook(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "walk.md"
    path.write_bytes(content)
    assert_refused(command("notebook", path), "walk.md", words)


def test_the_page_does_not_replace_the_notebook(walk: Path) -> None:
    before = walk.read_bytes()
    assert_refused(command("notebook", walk, "--html", walk), "walk.md is the notebook itself")
    assert walk.read_bytes() == before
