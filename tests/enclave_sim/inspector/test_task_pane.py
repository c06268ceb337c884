"""A lab in the inspector: the task beside the machine, ticks as parts are done, and marks for what hints name."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from enclave_sim.cli.labs.opening import OpenLab
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.model.task import Task, TaskPart, names, task_view
from enclave_sim.inspector.panes.machine.registers import RegistersPane
from enclave_sim.inspector.panes.task import TaskPane
from enclave_sim.inspector.panes.theme import MARKED
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.labs.catalogue import LABS
from enclave_sim.labs.lab import Lab
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.inspector.driving import NARROW, SIZES, Driven, Size
from tests.labs.solutions import breakout
from tests.labs.solutions.solution import Workplace

PART = TaskPart("gate", 0, 3, "Open the gate.", ("gate: not answered yet.",), ())


def test_a_hint_names_what_is_in_backticks_in_capitals_or_with_underscores() -> None:
    hint = "LTR needs `gdt_end`: see events mode_switched, CR0 and #GP in SDM volume 3; the Stack is not one."
    assert sorted(names(hint)) == ["cr0", "gdt_end", "ltr", "mode_switched"]


def test_the_view_has_ticks_messages_hints_and_the_text_within_the_width() -> None:
    done = TaskPart("switch", 2, 2, "Switch.", ("old",), ("Look at RIP.",))
    task = Task(
        "Open", "Some words that are longer than the pane is wide.\n\n    a command that is kept as it is", (PART, done)
    )
    view = task_view(task, 30, going_on=True)
    texts = [one.text for one in view.rows]
    assert texts[:3] == ["  gate: 0 of 3", "  gate: not answered yet.", "✓ switch: 2 of 2"]
    assert "  hint 1: Look at RIP." in texts
    assert "old" not in " ".join(texts)
    assert "    a command that is kept as it is" in texts
    assert all(len(text) <= 30 for text in texts if "command" not in text)
    assert view.subtitle == "2 of 5 points, judging"
    assert view.parts[0] == "gate"
    assert view.parts[texts.index("part switch")] == "switch"
    assert task.marked == frozenset()
    assert Task("", "", (TaskPart("a", 0, 1, "", (), ("`RIP`",)),)).marked == {"rip"}


def test_a_remark_comes_first_because_points_below_may_be_old() -> None:
    view = task_view(Task("Open", "", (PART,), "there is no directory lab-boot"), 30, going_on=False)
    assert [one.text for one in view.rows][:2] == ["there is no directory lab-boot", "  gate: 0 of 3"]
    assert view.parts[0] == "gate"
    assert task_view(Task("it cannot be judged", "", (), "so"), 30, going_on=False).parts == ()


def test_a_hint_is_about_a_part_that_lacks_points() -> None:
    done = [TaskPart(name, 2, 2, "", (), ()) for name in ("switch", "guest")]
    task = Task("Open", "", (done[0], PART, done[1]))
    assert [task.unsolved(part) for part in ("switch", "gate", "guest")] == ["gate"] * 3
    assert Task("Open", "", tuple(done)).unsolved("guest") == "guest"


@pytest.fixture
def started(tmp_path: Path) -> Path:
    assert command("lab", "start", "breakout", tmp_path / "mine", "--student", "ada").code == 0
    return tmp_path / "mine"


@pytest.mark.slow
def test_the_task_of_a_directory_has_the_case_the_points_and_the_hints(started: Path) -> None:
    lab = OpenLab(started)
    task = lab.judged()
    assert [(part.name, part.points) for part in task.parts] == [
        ("write", 0),
        ("execute", 0),
        ("privilege", 0),
        ("gate", 0),
    ]
    assert "{" not in task.background
    before = lab.stamp()
    assert lab.hinted("write").parts[0].hints == (lab._task().parts[0].hints[0],)
    assert lab.stamp() == before
    lab.hinted("write")
    assert lab.hinted("write").said == "part write: there are no more hints"
    (started / "answers.toml").write_text("")
    assert lab.stamp() != before


def drive_lab(started: Path, size: Size, script: Callable[[Driven], Awaitable[None]]) -> None:
    source = source_of(("counter",), EnclaveOptions.of(cycles=1))

    async def main() -> None:
        app = Inspector(source.open, lab=OpenLab(started))
        app.queries.idle_s = 3600.0
        async with app.run_test(size=size) as pilot:
            driven = Driven(app, pilot)
            await driven.settle()
            await script(driven)
        assert app.desk.broken is None

    asyncio.run(main())


async def judged(driven: Driven) -> None:
    pane = driven.app.query_one(TaskPane)
    for _ in range(2000):
        await driven.settle()
        if not pane._goes_on and "judging" not in pane.view.subtitle and pane._found is not None:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("it is not judged")


def rows(driven: Driven) -> list[str]:
    return [row.text for row in driven.app.query_one(TaskPane).view.rows]


@pytest.mark.slow
def test_a_hint_about_work_that_was_never_judged_says_nothing(started: Path) -> None:
    (started / "lab.json").write_text("{}")

    async def script(driven: Driven) -> None:
        await judged(driven)
        await driven.press("A", "I", "J")
        await judged(driven)
        assert "lab.json is damaged" in "".join(rows(driven))

    drive_lab(started, NARROW, script)


@pytest.mark.slow
@SIZES
def test_the_task_stands_beside_the_machine_and_is_ticked_when_it_is_done(size: Size, started: Path) -> None:
    async def script(driven: Driven) -> None:
        await judged(driven)
        shown = {pane.NAME for pane in driven.app.desk.panes if pane.display}
        assert {"lab", "code", "registers", "events"} <= shown
        assert rows(driven)[0] == "  write: 0 of 2"
        page = (started / "README.md").read_text()
        place = Workplace(page, {}, started)
        (started / "answers.toml").write_bytes(breakout.SOLUTION.solve(place)["answers.toml"])
        driven.app.query_one(TaskPane).look()
        await judged(driven)
        assert rows(driven)[:2] == ["✓ write: 2 of 2", "✓ execute: 2 of 2"]
        await driven.press("A")
        assert {pane.NAME for pane in driven.app.desk.panes if pane.display} == {"lab"}
        await driven.press("J")
        await judged(driven)
        assert rows(driven)[0] == "✓ write: 2 of 2"

    drive_lab(started, size, script)


@pytest.mark.slow
@SIZES
def test_a_hint_is_shown_and_what_it_names_is_marked(size: Size, started: Path) -> None:
    async def script(driven: Driven) -> None:
        await judged(driven)
        registers = driven.app.query_one(RegistersPane)
        assert marked(registers) == set()
        await driven.press("A")
        driven.app.query_one(TaskPane).move_to(
            next(at for at, text in enumerate(rows(driven)) if text.startswith("  execute"))
        )
        await driven.press("I")
        assert any("hint 1: Load" in text for text in rows(driven))
        await driven.press("1")
        await driven.settle()
        assert marked(registers) == {"RAX"}
        pane = driven.app.query_one(TaskPane)
        commands = [text for text in rows(driven) if text.startswith("    ")]
        assert all(len(text) < pane.content_size.width for text in rows(driven) if text not in commands)

    drive_lab(started, size, script)


def marked(pane: RegistersPane) -> set[str]:
    found = set()
    for index in range(pane.count):
        segments, _ = pane.line(index)
        found |= {
            one.text.strip().upper()
            for one in segments
            if one.style is not None and one.style.bgcolor == MARKED.bgcolor
        }
    return found


def test_without_a_lab_there_is_no_such_pane() -> None:
    source = source_of(("counter",), EnclaveOptions.of(cycles=1))
    app = Inspector(source.open)

    async def main() -> None:
        async with app.run_test(size=NARROW) as pilot:
            driven = Driven(app, pilot)
            await driven.settle()
            assert not app.query(TaskPane)
            assert "ALab" not in str(app.query_one("#tabs").render())

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_every_lab_has_a_run_to_inspect(lab: Lab, tmp_path: Path) -> None:
    assert command("lab", "start", lab.name, tmp_path / "mine").code == 0
    for given in ((), ("--", "beacon", "--cycles", "2")):
        ended = command("lab", "open", lab.name, tmp_path / "mine", *given)
        assert ended.error.startswith("error: inspect needs a terminal"), ended.error


def test_a_lab_that_cannot_be_opened_is_one_line(started: Path) -> None:
    for words in (("boot", started), ("breakout", started.parent / "nowhere"), ("99",), ("breakout", started)):
        assert_refused(command("lab", "open", *words))
