"""`enclave-sim lifetimes`: where copies of a secret were in a run, and for how long."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_sim.cli.command import OUTPUT, command, option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.place import at as at_option
from enclave_sim.cli.options.place import go_to_place
from enclave_sim.cli.options.types import FILE, NUMBER, TIME
from enclave_sim.cli.output.progress import ProgressLine, terminal_of
from enclave_sim.cli.output.rejection import note_rejections
from enclave_sim.cli.runs.provenance import place_asked
from enclave_sim.cli.runs.travel import ANY, Subject, of_subject

if TYPE_CHECKING:
    from enclave_sim.time_travel.link import Link
    from enclave_sim.time_travel.travel import Travel

EXIT_CODES = """\b
Exit codes
  0  answered
  2  an invalid option, file, place or secret, or one after the end of the run
 70  a defect of the emulator or its firmware"""
_OWN = dict.fromkeys(("of", "count", "at", "until_ns", "svg", "as_json"), ANY)
_QUESTION = "The question"


@command(epilog=EXIT_CODES)
@option(
    "--of",
    required=True,
    metavar="SECRET",
    help="data[:PAYLOAD], nonce[:N], key[:N], input[:N], answer[:N]; or a register, a linear address or a symbol, "
    "at --at.",
    heading=_QUESTION,
)
@option("--bytes", "count", type=NUMBER, metavar="N", default=1, help="Number of bytes in memory.", heading=_QUESTION)
@at_option
@option("--until", "until_ns", type=TIME, metavar="TIME", help="Follow it to this virtual time.", heading=_QUESTION)
@option("--svg", type=FILE, metavar="PATH", help="Write a picture: places over time.", heading=OUTPUT)
@option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.", heading=OUTPUT)
@of_subject
def lifetimes(
    *,
    subject: Subject,
    of: str,
    count: int,
    at: "Link | int | None",
    until_ns: int | None,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Show every place that held a copy or a derivative of a secret: from when to when, who made it, who erased it.

    The secret is a payload's data segments, a verifier's nonce, a key of the TPM, what an input writes, or the answer
    to a host call; N counts from 0. Or it is any bytes at --at, or at the beginning of the run.

    Example: enclave-sim lifetimes beacon --of nonce
    """
    subject.check(_OWN)
    if svg is not None:
        from enclave_sim.cli.output.written import keep  # noqa: PLC0415

        keep({}, svg)
    session = subject.run()
    line = ProgressLine(None if as_json else terminal_of(sys.stderr))

    def show_progress() -> bool:
        if line.is_due:
            line.draw(f"at {session.now} ...")
        return False

    try:
        with session.cancellation.asking(show_progress):
            if at is not None:
                go_to_place(session, at)
            answer, drawn = _answer(session, of, count, until_ns, draws=svg is not None, as_json=as_json)
    finally:
        line.erase()
        note_rejections(session.known)
    if svg is not None:
        _save(svg, drawn.encode(), as_json=as_json)
    write(answer)


def _save(path: Path, data: bytes, *, as_json: bool) -> None:
    from enclave_sim.cli.output.written import replacing, save  # noqa: PLC0415
    from enclave_sim.files.writing import write_file  # noqa: PLC0415

    if not as_json:
        save(path, data)
        return
    with replacing(path):  # standard output is one JSON object
        write_file(path, data)


def _answer(
    session: "Travel[Any]", of: str, count: int, until_ns: int | None, *, draws: bool, as_json: bool
) -> tuple[bytes, str]:
    """Return what is printed, and the picture."""
    from enclave_sim.time_travel.navigation.lifetimes.marks import is_named  # noqa: PLC0415 - unicorn takes 100 ms
    from enclave_sim.time_travel.navigation.lifetimes.objects import lifetimes_object  # noqa: PLC0415
    from enclave_sim.time_travel.position import Position  # noqa: PLC0415

    asked = of if is_named(of) else place_asked(session, of)
    until = None if until_ns is None else Position(until_ns)
    found = session.lifetimes(asked, count, linear=isinstance(asked, int), until=until)
    drawn = session.picture_of(found) if draws else ""
    return (f"{json.dumps(lifetimes_object(found))}\n" if as_json else f"{found}\n").encode(), drawn
