"""`enclave-sim lab open`: a lab's task in the inspector, beside the machine."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import command
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.types import DIRECTORY
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.inspector.model.task import Task
    from enclave_sim.labs.judging import Judgement

_EXIT_CODES = """\b
Exit codes
  0  the user quit
  2  the directory cannot be read, an invalid option, or there is no terminal
 70  a defect of the emulator or its firmware"""


@command("open", epilog=_EXIT_CODES, context_settings={"ignore_unknown_options": True})
@click.argument("number", metavar="N", help="Number or name of the lab.")
@click.argument("directory", type=DIRECTORY, metavar="[DIR]", required=False, help="Default: lab-NAME.")
@click.argument("arguments", nargs=-1, metavar="[-- RUN...]", help="Arguments of inspect, for another run.")
def open_lab(number: str, directory: Path | None, arguments: Sequence[str]) -> ExitCode:
    """Open the inspector with the task beside the machine, in the run that the lab is about.

    Parts are ticked as you save what you hand in. A shows the task alone. I asks for a hint; what it names is marked.

    Example: enclave-sim lab open 1
    """
    from enclave_sim.cli.runs.inspect import LAB, inspect  # noqa: PLC0415
    from enclave_sim.labs import workplace  # noqa: PLC0415
    from enclave_sim.labs.catalogue import find_lab  # noqa: PLC0415

    wanted = find_lab(number)
    place = directory or Path(f"lab-{wanted.name}")
    lab, assignment, _ = workplace.read(place)
    if lab is not wanted:
        raise ConfigurationError(f"{place} is of lab {lab.name}, not of {wanted.name}")
    given = arguments or lab.inspected(lab.case(assignment.student, assignment.case_key), place)
    context = inspect.make_context("inspect", list(given), parent=click.get_current_context())
    context.meta[LAB] = OpenLab(place)
    with context:
        shown = inspect.invoke(context)
    assert isinstance(shown, ExitCode)
    return shown


class OpenLab:
    """The task of a lab in a directory, as the inspector shows it (see its `LabTask`).

    Args:
        directory: The student's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._judgement: Judgement | None = None
        self._judging: subprocess.Popen[bytes] | None = None

    def stamp(self) -> Mapping[str, tuple[int, int]]:
        """Return size and time of change of each file that is handed in."""
        from enclave_sim.labs import workplace  # noqa: PLC0415

        try:
            lab, _, _ = workplace.read(self._directory)
            found = {name: self._directory / name for name in lab.handed_in}
            states = {name: file.stat() for name, file in found.items() if file.is_file()}
        except (ConfigurationError, OSError):
            return {}
        return {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}

    def judged(self) -> "Task":
        """Judge the files in a process of its own, and return the task: no machine is shared between threads."""
        import msgspec  # noqa: PLC0415

        from enclave_sim.labs import workplace  # noqa: PLC0415
        from enclave_sim.labs.judging import Judgement  # noqa: PLC0415

        lab, _, _ = workplace.read(self._directory)
        words = ("lab", "check", lab.name, str(self._directory.absolute()), "--json")
        self._judging = subprocess.Popen(
            (sys.executable, "-P", "-m", "enclave_sim", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        printed, problem = self._judging.communicate()
        if self._judging.returncode:
            reason = problem.decode("utf-8", "replace").strip().rpartition("\n")[2].removeprefix("error: ")
            raise ConfigurationError(reason or "it cannot be judged")
        self._judgement = msgspec.json.decode(printed, type=Judgement)
        return self._task()

    def close(self) -> None:
        """End a judgement that is under way."""
        if self._judging is not None and self._judging.poll() is None:
            self._judging.kill()

    def hinted(self, part: str) -> "Task":
        """Note one more hint, and return the task as it was judged last."""
        from enclave_sim.labs import workplace  # noqa: PLC0415

        lab, assignment, _ = workplace.read(self._directory)
        given = workplace.next_hint(self._directory, lab, assignment, part)
        return self._task("" if given is not None else f"part {part}: there are no more hints")

    def _task(self, said: str = "") -> "Task":
        from enclave_sim.inspector.model.task import Task, TaskPart  # noqa: PLC0415
        from enclave_sim.labs import workplace  # noqa: PLC0415

        lab, assignment, _ = workplace.read(self._directory)
        text = lab.filled(lab.case(assignment.student, assignment.case_key))
        marks = {} if self._judgement is None else {mark.part: mark for mark in self._judgement.parts}
        parts = tuple(
            TaskPart(
                part.name,
                marks[part.name].points if part.name in marks else 0,
                part.points,
                part.task,
                marks[part.name].messages if part.name in marks else (),
                part.hints[: max(assignment.hints.get(part.name, 0), 0)],
            )
            for part in text.part
        )
        return Task(text.title, text.background, parts, said)
