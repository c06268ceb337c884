"""`enclave-sim notebook`: repeat the questions of a notebook, and show which answers differ."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.types import FILE
from enclave_sim.recording.text import plural, printable

if TYPE_CHECKING:
    from enclave_sim.time_travel.notebook import Difference, Notebook
    from firmware import Firmware

EXIT_CODES = """\b
Exit codes
  0  all answers are the same; with --html: the page is written
  2  the file is not a notebook, or its run cannot be repeated here
 11  an answer differs
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@click.argument("file", type=FILE, metavar="FILE", help="A notebook: key Z of the inspector, or Walk in Python.")
@option(
    "--payload",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    multiple=True,
    help="Payload that the notebook does not embed; may be repeated.",
)
@firmware_option
@option("--html", type=FILE, metavar="PATH", help="Write the notebook as a page, and repeat nothing.")
@as_json_option
def notebook(
    *, file: Path, payload: Sequence[str], firmware: "Firmware | None", html: Path | None, as_json: bool
) -> ExitCode:
    """Repeat the questions of a notebook on a new run, and compare the answers.

    Example: enclave-sim notebook walk.md
    """
    read = _read(file)
    if html is not None:
        from enclave_sim.cli.output.written import keep, save  # noqa: PLC0415

        keep({file: "the notebook"}, html)
        save(html, read.html().encode())
        return ExitCode.OK
    from enclave_sim.time_travel.notebook import NotebookError, repeat  # noqa: PLC0415 - unicorn takes 100 ms

    try:
        found = list(repeat(read, payload, firmware))
    except NotebookError as error:
        raise NotebookError(f"{printable(str(file))}: {error}") from None
    count = len(read.questions)
    write(_as_json(count, found) if as_json else "".join(f"{line}\n" for line in _lines(count, found)).encode())
    return ExitCode.DIVERGED if found else ExitCode.OK


def _read(path: Path) -> "Notebook":
    from enclave_sim.files.reading import MODULE, read_utf8  # noqa: PLC0415
    from enclave_sim.time_travel.notebook.document import Notebook, NotebookError  # noqa: PLC0415

    try:
        return Notebook.read(read_utf8(path, MODULE, "a notebook"))
    except NotebookError as error:
        raise NotebookError(f"{path}: {error}") from None


def _lines(count: int, found: "list[Difference]") -> Iterator[str]:
    if not found:
        yield f"equal: {plural(count, 'answer')}"
        return
    yield f"DIVERGED: {len(found):,} of {plural(count, 'answer')} (- notebook, + run)"
    for one in found:
        yield from ("", f"{one.number:>4,} > {printable(one.question)}")
        yield from (f"- {printable(line)}" for line in one.first.splitlines())
        yield from (f"+ {line}" for line in one.second.splitlines())


def _as_json(count: int, found: "list[Difference]") -> bytes:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode({"equal": not found, "answers": count, "differences": found}) + b"\n"
