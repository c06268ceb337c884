"""`enclave-sim export`: convert a recording to the format of another program."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import command, option
from enclave_sim.cli.options.types import FILE, Choice
from enclave_sim.cli.output.progress import ProgressLine, terminal_of
from enclave_sim.cli.output.rejection import Rejections
from enclave_sim.cli.output.written import keep, saving
from enclave_sim.errors import ConfigurationError
from enclave_sim.recording.exports.formats import Format

if TYPE_CHECKING:
    from machine.events import Event

_CHECK_EVERY = 4096
EXIT_CODES = """\b
Exit codes
  0  the file is written
  2  the recording cannot be read, or the file cannot be written
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@click.argument("file", type=FILE, metavar="FILE", help="A recording written by --record.")
@option(
    "--to",
    type=Choice(Format),
    required=True,
    help="perfetto: a trace for ui.perfetto.dev; vcd: waveforms; parquet: a table with one row for each event; "
    "html: a report for people.",
)
@option(
    "--output",
    "-o",
    type=FILE,
    metavar="PATH",
    help="Output file; - is standard output. Default: FILE with another suffix.",
)
def export(file: Path, to: Format, output: Path | None) -> None:
    """Convert a recording to the format of another program.

    The same recording gives the same file. It appears when it is complete.

    Example: enclave-sim export counter.jsonl --to html
    """
    from enclave_sim.recording.exports.range_check import checked  # noqa: PLC0415
    from enclave_sim.recording.reader import read_events, read_header  # noqa: PLC0415

    goal = output or file.with_suffix(to.suffix)
    write = to.writer()
    try:
        header = read_header(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    keep({file: "the recording"}, goal)
    line, rejections = ProgressLine(terminal_of(sys.stderr)), Rejections()
    try:
        with saving(goal, "export to") as output_stream:
            write(header, _observed(checked(read_events(file)), line, rejections), output_stream)
    finally:
        line.erase()
    rejections.note()


def _observed(events: "Iterable[Event]", line: ProgressLine, rejections: Rejections) -> "Iterator[Event]":
    """Yield the same events, show their count on the line, and keep the rejections."""
    for event in events:
        if event.seq % _CHECK_EVERY == 0 and line.is_due:
            line.draw(f"{event.seq:,} events, {event.at_ns / 1e9:.3f} s of virtual time")
        rejections.record(event)
        yield event
