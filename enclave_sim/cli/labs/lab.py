"""`enclave-sim lab`: start labs, check answers, ask for hints, hand in, and grade.

The judges load much, so they are imported inside the functions.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enclave_sim.cli.command import Group, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.labs.author import author
from enclave_sim.cli.labs.grade import grade
from enclave_sim.cli.labs.opening import open_lab
from enclave_sim.cli.labs.output import print_judgement, print_list
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.types import DIRECTORY, FILE, Parsed
from enclave_sim.errors import ConfigurationError
from enclave_sim.labs.case import GUEST
from enclave_sim.labs.instants import read_instant

if TYPE_CHECKING:
    from enclave_sim.labs.judging import Judgement
    from enclave_sim.labs.lab import Lab
    from enclave_sim.labs.workplace import Assignment

_VERIFY_EXIT_CODES = """\b
Exit codes
  0  confirmed: the judgement is the same, and it is signed
  2  the receipt, the directory or the course cannot be read
 13  the receipt is refused
 18  the judgement is the same, but you named no signer
 70  a defect of the emulator or its firmware"""
_F = TypeVar("_F", bound=Callable[..., Any])


def _number(function: _F) -> _F:
    return click.argument("number", metavar="N", help="Number or name of the lab.")(function)


def _directory(function: _F) -> _F:
    told = "Directory of the lab. Default: lab-NAME."
    return click.argument("directory", type=DIRECTORY, metavar="[DIR]", required=False, help=told)(function)


@click.group(cls=Group, no_args_is_help=True)
def lab() -> None:
    """Learn by teaching labs: start one, check the answers, ask for hints, hand it in; grade what was handed in.

    Example: enclave-sim lab start 1
    """


@lab.command("list")
@as_json_option
def list_labs(as_json: bool) -> None:
    """List the labs, with their points.

    Example: enclave-sim lab list
    """
    from enclave_sim.labs.catalogue import LABS  # noqa: PLC0415
    from enclave_sim.labs.outputs import LabList, ListedLab  # noqa: PLC0415

    rows = [ListedLab(number, one.name, one.version, one.points, one.text.title) for number, one in enumerate(LABS, 1)]
    if as_json:
        _print_object(LabList(tuple(rows)))
    else:
        print_list(rows)


@lab.command()
@_number
@_directory
@option("--student", metavar="ID", default=GUEST, help="Your ID in the course: it determines your case.")
def start(number: str, directory: Path | None, student: str) -> None:
    """Make a directory with the text and the starting point of a lab.

    Example: enclave-sim lab start 1 --student ada
    """
    from enclave_sim.labs import workplace  # noqa: PLC0415
    from enclave_sim.labs.catalogue import find_lab  # noqa: PLC0415

    wanted = find_lab(number)
    goal = directory or _default(wanted)
    names = workplace.start(wanted, goal, student)
    click.echo(f"wrote {goal}: {', '.join(names)}")
    click.echo(f"read {goal / workplace.PAGE}; then: enclave-sim lab check {number}{_again(directory)}")


@lab.command()
@_number
@_directory
@as_json_option
def check(number: str, directory: Path | None, as_json: bool) -> None:
    """Judge your answers, as often as you like.

    Example: enclave-sim lab check 1
    """
    judgement = _judged(number, directory)[2]
    _show(judgement, as_json)
    if not as_json and judgement.points == judgement.of:
        click.echo(f"nothing is missing; hand it in with: enclave-sim lab submit {number}{_again(directory)}")


@lab.command()
@_number
@_directory
@option("--part", metavar="NAME", help="The part. Default: the first one that lacks points.")
def hint(number: str, directory: Path | None, part: str | None) -> None:
    """Show one more hint. Hints cost nothing.

    Example: enclave-sim lab hint 1 --part modes
    """
    from enclave_sim.labs import workplace  # noqa: PLC0415

    place, found, assignment, files = _read(number, directory)
    if part is None:
        judgement = _judge(found, assignment, files)
        part = next((mark.part for mark in judgement.parts if mark.points < mark.of), None)
        if part is None:
            click.echo("nothing is missing; name a part with --part for its hints")
            return
    given = workplace.next_hint(place, found, assignment, part)
    if given is None:
        click.echo(f"part {part}: there are no more hints; --part NAME gives those of another part")
    else:
        click.echo(f"part {part}, hint {given[0]}: {given[1]}")


@lab.command()
@_number
@_directory
@option("--key", type=FILE, metavar="FILE", help="The course's key (NAME.key.json), which signs the receipt.")
@option(
    "--at",
    type=Parsed(read_instant, "DATE"),
    metavar="DATE",
    help="When it was handed in, as 2026-03-01T12:00:00Z, for the receipt.",
)
@as_json_option
def submit(number: str, directory: Path | None, key: Path | None, at: datetime | None, as_json: bool) -> None:
    """Judge your answers and write a receipt into the directory, then show the idea of the solution.

    Example: enclave-sim lab submit 1
    """
    from enclave_sim.labs import workplace  # noqa: PLC0415
    from enclave_sim.labs.receipt import RECEIPT, make_receipt  # noqa: PLC0415
    from enclave_sim.payload.keys import SigningKey  # noqa: PLC0415

    signing_key = None if key is None else SigningKey.load(key)
    place, found, judgement = _judged(number, directory)
    workplace.write_own(place, RECEIPT, make_receipt(judgement, signing_key, at))
    _show(judgement, as_json)
    if not as_json:
        signed = "" if signing_key is None else f", signed by {signing_key.name}"
        click.echo(f"wrote {place / RECEIPT}{signed}")
        click.echo(f"\n{found.text.debrief.strip()}")


@lab.command(epilog=_VERIFY_EXIT_CODES)
@click.argument("receipt", type=FILE, metavar="RECEIPT", help="Receipt of lab submit, or its directory.")
@click.argument(
    "directory",
    type=DIRECTORY,
    metavar="[DIR]",
    required=False,
    help="Directory with the files handed in. Default: that of the receipt.",
)
@option("--course", type=FILE, metavar="FILE", help="The course (TOML): the case must be its, and the signature.")
@option("--anchor", type=FILE, metavar="FILE", help="A trust anchor: the receipt must be signed by its key.")
@as_json_option
def verify(receipt: Path, directory: Path | None, course: Path | None, anchor: Path | None, as_json: bool) -> ExitCode:
    """Repeat the judgement of a receipt, and check who has signed it.

    Name the signer by --course or --anchor: otherwise a receipt proves nothing about who made it, or when.

    Example: enclave-sim lab verify receipt.json --course course.toml
    """
    from enclave_sim.labs.course import Course  # noqa: PLC0415
    from enclave_sim.labs.outputs import Verification  # noqa: PLC0415
    from enclave_sim.labs.receipt import RECEIPT  # noqa: PLC0415
    from enclave_sim.labs.verification import problems_of  # noqa: PLC0415
    from enclave_sim.payload.keys import TrustAnchor  # noqa: PLC0415

    terms = None if course is None else Course(course)
    named = [] if anchor is None else [TrustAnchor.load(anchor)]
    if terms is not None and terms.anchor is not None:
        named.append(terms.anchor)
    if receipt.is_dir():
        receipt = receipt / RECEIPT
    problems = problems_of(receipt, directory or receipt.parent, terms, named)
    signers = tuple(one.name for one in named) if not problems else ()
    if as_json:
        _print_object(Verification(not problems and bool(signers), tuple(problems), signers))
    elif problems:
        click.echo("refused:\n" + "\n".join(f"  {one}" for one in problems))
    elif signers:
        click.echo(f"confirmed: judged the same again, and signed by {' and '.join(signers)}")
    else:
        click.echo("judged the same again; no signer was named (--course, --anchor), so it proves no more than that")
    return ExitCode.REFUSED if problems else ExitCode.OK if signers else ExitCode.UNSIGNED


lab.add_command(grade)
lab.add_command(author)
lab.add_command(open_lab)


def _default(found: "Lab") -> Path:
    return Path(f"lab-{found.name}")


def _again(directory: Path | None) -> str:
    return "" if directory is None else f" {directory}"


def _read(number: str, directory: Path | None) -> "tuple[Path, Lab, Assignment, dict[str, bytes]]":
    """Read the directory of a lab. Raises ConfigurationError if it is of another lab."""
    from enclave_sim.labs import workplace  # noqa: PLC0415
    from enclave_sim.labs.catalogue import find_lab, number_of  # noqa: PLC0415

    wanted = find_lab(number)
    place = directory or _default(wanted)
    found, assignment, files = workplace.read(place)
    if found is not wanted:
        raise ConfigurationError(f"{place} is of lab {number_of(found)}, {found.name}, not of lab {number}")
    return place, found, assignment, files


def _judge(found: "Lab", assignment: "Assignment", files: dict[str, bytes]) -> "Judgement":
    from enclave_sim.labs.judging import judge  # noqa: PLC0415

    return judge(found, assignment.student, files, key=assignment.case_key)


def _judged(number: str, directory: Path | None) -> "tuple[Path, Lab, Judgement]":
    from enclave_sim.labs.answers import Answers  # noqa: PLC0415
    from enclave_sim.labs.lab import ANSWERS  # noqa: PLC0415

    place, found, assignment, files = _read(number, directory)
    start = found.start(found.case(assignment.student, assignment.case_key)).get(ANSWERS, b"")
    for note in Answers(files).unasked(start):
        click.echo(f"note: {note}", err=True)
    return place, found, _judge(found, assignment, files)


def _show(judgement: "Judgement", as_json: bool) -> None:
    if as_json:
        _print_object(judgement)
    else:
        print_judgement(judgement)


def _print_object(printed: object) -> None:
    import msgspec  # noqa: PLC0415

    click.echo(msgspec.json.encode(printed).decode())
