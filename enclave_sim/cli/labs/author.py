"""`enclave-sim lab author`: what a teacher makes, and students do not see."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from enclave_sim.cli.command import Group, option
from enclave_sim.cli.options.types import DIRECTORY, FILE, utf8
from enclave_sim.errors import ConfigurationError


@click.group(cls=Group, no_args_is_help=True)
def author() -> None:
    """For teachers: make a course with a secret of its own, and give out its cases.

    Example: enclave-sim lab author new systems
    """


@author.command()
@click.argument("directory", type=DIRECTORY, metavar="DIR", help="Directory to make.")
def new(directory: Path) -> None:
    """Make a course: its file with points and deadlines, its secret, and the key that signs receipts.

    Example: enclave-sim lab author new systems
    """
    from enclave_sim.labs.authoring import COURSE, new_course  # noqa: PLC0415

    utf8(str(directory))  # the course gets this name
    names = new_course(directory)
    click.echo(f"wrote {directory}: {', '.join(names)}")
    click.echo(f"then: enclave-sim lab author start 1 ID... --course {directory / COURSE} --into DIR")


@author.command()
@click.argument("number", metavar="N", help="Number or name of the lab.")
@click.argument("students", nargs=-1, required=True, metavar="ID...", help="The students.")
@option("--course", type=FILE, metavar="FILE", required=True, help="The course (TOML).")
@option("--into", type=DIRECTORY, metavar="DIR", required=True, help="Directory: each student gets one in it.")
def start(number: str, students: Sequence[str], course: Path, into: Path) -> None:
    """Start a lab for students, each with the case that the course's secret gives: DIR/ID/lab-NAME.

    Example: enclave-sim lab author start 1 ada --course cs/course.toml --into out
    """
    from enclave_sim.cli.output.progress import ProgressLine, terminal_of  # noqa: PLC0415
    from enclave_sim.files.writing import new_directory  # noqa: PLC0415
    from enclave_sim.labs import workplace  # noqa: PLC0415
    from enclave_sim.labs.catalogue import find_lab  # noqa: PLC0415
    from enclave_sim.labs.course import Course  # noqa: PLC0415

    lab, terms = find_lab(number), Course(course)
    if lab not in terms:
        raise ConfigurationError(f"lab {lab.name} is not one of {course}")
    goals = {lab.case(given).student: into / lab.case(given).student / f"lab-{lab.name}" for given in students}
    for goal in goals.values():
        if goal.exists() or goal.is_symlink():
            raise ConfigurationError(f"{goal} exists")
    line = ProgressLine(terminal_of(sys.stderr))
    for done, (student, goal) in enumerate(goals.items()):
        if line.is_due:
            line.draw(f"{done} of {len(goals)}: {student}")
        for missing in (one for one in (into, goal.parent) if not one.exists()):
            with new_directory(missing):
                pass
        workplace.start(lab, goal, student, terms.key(lab, student))
    line.erase()
    click.echo(f"wrote {len(goals)} of lab {lab.name} into {into}")
