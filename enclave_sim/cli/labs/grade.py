"""`enclave-sim lab grade`: judge the directories of many students."""

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import click

from enclave_sim.cli.command import command, option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.types import DIRECTORY, FILE, Choice
from enclave_sim.errors import ConfigurationError
from enclave_sim.recording.text import printable


class Format(Enum):
    """The formats of grades."""

    JSON = "json"
    JUNIT = "junit"
    CSV = "csv"
    GRADESCOPE = "gradescope"
    AUTOLAB = "autolab"
    STATISTICS = "statistics"


_OF_ONE = Format.GRADESCOPE, Format.AUTOLAB
"""The formats for a service that grades one directory, and shows what is printed: whatever is in it has a score."""
EXIT_CODES = """\b
Exit codes
  0  the grades are printed
  2  a directory is missing, none is of a lab, or the course cannot be read
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@click.argument("directories", nargs=-1, required=True, type=DIRECTORY, metavar="DIR...", help="Directories of labs.")
@option("--format", "kind", type=Choice(Format), default=Format.CSV.value, help="Format of the grades.")
@option("--student", metavar="ID", help="Who handed it in, if that is known: another student's case earns nothing.")
@option("--lab", "number", metavar="N", help="The lab that was to be handed in: another lab earns nothing.")
@option("--course", type=FILE, metavar="FILE", help="The course (TOML): its cases, points, deadlines and times.")
def grade(
    directories: Sequence[Path], kind: Format, student: str | None, number: str | None, course: Path | None
) -> None:
    """Judge what was handed in, and print the grades.

    A directory that cannot be judged earns nothing. Of several directories of one
    student and lab, the one with the most points counts.

    Example: enclave-sim lab grade handed-in/* --format csv
    """
    from enclave_sim.cli.output.progress import ProgressLine, terminal_of  # noqa: PLC0415
    from enclave_sim.labs.catalogue import find_lab  # noqa: PLC0415
    from enclave_sim.labs.course import Course  # noqa: PLC0415
    from enclave_sim.labs.grade_formats import FORMATS  # noqa: PLC0415
    from enclave_sim.labs.grades import grade_directory, unique  # noqa: PLC0415
    from enclave_sim.labs.workplace import ASSIGNMENT  # noqa: PLC0415

    if student is not None and len(directories) != 1:
        raise ConfigurationError(f"--student is for one directory, not {len(directories)}")
    _require(directories)
    terms, wanted = None if course is None else Course(course), None if number is None else find_lab(number)
    line, grades = ProgressLine(terminal_of(sys.stderr)), []
    for done, one in enumerate(directories):
        if line.is_due:
            line.draw(f"{done} of {len(directories)}: {printable(str(one))}")
        grades.append(grade_directory(one, student, terms, wanted))
    line.erase()
    write(FORMATS[kind.value](unique(grades)).encode("utf-8", "replace"))
    if kind not in _OF_ONE and not any((one / ASSIGNMENT).is_file() for one in directories):
        raise ConfigurationError(
            f"no directory has {ASSIGNMENT}, which enclave-sim lab start writes: no lab was judged"
        )


def _require(directories: Sequence[Path]) -> None:
    """Refuse names of nothing. A file in place of a directory spoils the grades of nobody else."""
    for one in directories:
        if not (one.exists() or one.is_symlink()):
            raise ConfigurationError(f"cannot grade {one}: it does not exist")
    if not any(one.is_dir() for one in directories):
        raise ConfigurationError(f"cannot grade {directories[0]}: it is not a directory")
