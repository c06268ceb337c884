"""`enclave-sim provenance`: where a value of a run came from, or where it went."""

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from enclave_sim.cli.command import OUTPUT, command, option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.place import at as at_option
from enclave_sim.cli.options.place import go_to_place
from enclave_sim.cli.options.types import POSITIVE, Parsed, number
from enclave_sim.cli.output.progress import ProgressLine, terminal_of
from enclave_sim.cli.output.rejection import note_rejections
from enclave_sim.cli.runs.travel import ANY, Subject, of_subject
from enclave_sim.errors import ConfigurationError
from enclave_sim.similar import did_you_mean

if TYPE_CHECKING:
    from enclave_sim.time_travel.link import Link
    from enclave_sim.time_travel.navigation.provenance.answers import Use, Value
    from enclave_sim.time_travel.navigation.provenance.objects import ProvenanceObject
    from enclave_sim.time_travel.travel import Travel

EXIT_CODES = """\b
Exit codes
  0  answered
  2  usage error: an invalid option, file or place, or the run ends before it
 70  a defect of the emulator or its firmware"""
_OWN = dict.fromkeys(("of", "count", "at", "depth", "within", "forwards", "as_json"), ANY)
_QUESTION = "The question"
_DEPTH, _WITHIN, _PAGE = 8, 2000, 4096


@command(epilog=EXIT_CODES)
@option(
    "--of",
    required=True,
    metavar="PLACE",
    help="A register (rax, al, xmm0, rflags), or memory: a linear address, a symbol of the kernel, or a region such as "
    "heap.",
    heading=_QUESTION,
)
@option(
    "--bytes",
    "count",
    type=Parsed(partial(number, least=1, most=_PAGE), "number"),
    metavar="N",
    default=1,
    help="Number of bytes in memory.",
    heading=_QUESTION,
)
@at_option
@option("--depth", type=POSITIVE, metavar="N", default=_DEPTH, help="Writes to follow, in a row.", heading=_QUESTION)
@option(
    "--within",
    type=POSITIVE,
    metavar="N",
    default=_WITHIN,
    help="Steps to look back for a write of a register, or forwards for a use.",
    heading=_QUESTION,
)
@option("--forwards", is_flag=True, help="Show what becomes of the value instead.", heading=_QUESTION)
@option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.", heading=OUTPUT)
@of_subject
def provenance(
    *,
    subject: Subject,
    of: str,
    count: int,
    at: "Link | int | None",
    depth: int,
    within: int,
    forwards: bool,
    as_json: bool,
) -> None:
    """Show where a value came from: who wrote it, from what, and so on, back to constants, inputs and payloads.

    The value is that at --at, or at the end of the run. Each step has its position, for gdb and inspect --at.

    Example: enclave-sim provenance counter --of esi --at 1389145ns
    """
    subject.check(_OWN)
    session = subject.run()
    line = ProgressLine(None if as_json else terminal_of(sys.stderr))

    def show_progress() -> bool:
        if line.is_due:
            line.draw(f"at {session.now} ...")
        return False

    try:
        with session.cancellation.asking(show_progress):
            if at is None:
                session.resume()
            else:
                go_to_place(session, at)
            asked = place_asked(session, of)
            linear = isinstance(asked, int)
            if forwards:
                answer = _uses(session.where_to(asked, count, linear=linear, within=within), as_json=as_json)
            else:
                value = session.where_from(asked, count, linear=linear, depth=depth, within=within)
                answer = _value(value, as_json=as_json)
    finally:
        line.erase()
        note_rejections(session.known)
    write(answer)


def _value(value: "Value", *, as_json: bool) -> bytes:
    from enclave_sim.time_travel.navigation.provenance import objects  # noqa: PLC0415 - as above

    if not as_json:
        return f"{value}\n".encode()
    return _json(objects.ProvenanceObject(value=objects.value_object(value), uses=[]))


def _uses(uses: "list[Use]", *, as_json: bool) -> bytes:
    from enclave_sim.time_travel.navigation.provenance import objects  # noqa: PLC0415 - as above

    if not as_json:
        return "".join(f"{use}\n" for use in uses).encode() or b"nothing uses it\n"
    return _json(objects.ProvenanceObject(value=None, uses=[objects.use_object(use) for use in uses]))


def _json(document: "ProvenanceObject") -> bytes:
    return f"{json.dumps(document)}\n".encode()


def place_asked(session: "Travel[Any]", of: str) -> str | int:
    """Return a register's name, or a linear address. Raises ConfigurationError."""
    from enclave_sim.time_travel.navigation.provenance.places import REGISTERS  # noqa: PLC0415 - as above

    if of.lower() in REGISTERS:
        if click.get_current_context().get_parameter_source("count") is click.core.ParameterSource.COMMANDLINE:
            raise ConfigurationError(f"--bytes is for memory; {of} is a register")
        return of
    symbols = session.program.symbols
    bases = {one.name: one.base for one in session.program.regions}
    for places in (symbols, bases):
        if of in places:
            return places[of]
    try:
        return int(of, 0)
    except ValueError:
        near = did_you_mean(of, (*bases, *REGISTERS, *symbols))
        right = f"a register, a symbol of the kernel, a region or an address; {near}regions are {', '.join(bases)}"
        raise ConfigurationError(f"{of!r} is not {right}") from None
