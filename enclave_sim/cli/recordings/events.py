"""`enclave-sim events`: query a recording."""

import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from enclave_sim.cli.command import command, option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.types import FILE, NOT_NEGATIVE, POSITIVE, TIME, Parsed
from enclave_sim.errors import ConfigurationError
from enclave_sim.recording.text import plural

if TYPE_CHECKING:
    from machine.events import Event

_LINES = 512
"""The number of lines written at once."""


def _ring(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*([0-3])\s*->\s*([0-3])\s*", text)
    if match is None:
        raise ConfigurationError(f"{text!r} is not two rings of 0 to 3, such as 3->0")
    return int(match[1]), int(match[2])


def _complete_kind(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from enclave_sim.events import KINDS  # noqa: PLC0415

    return [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]


@command()
@click.argument("file", type=FILE, metavar="FILE", help="A recording.")
@option(
    "--kind",
    metavar="KIND",
    multiple=True,
    shell_complete=_complete_kind,
    help="Only events of this kind; may be repeated.",
)
@option(
    "--between",
    type=TIME,
    nargs=2,
    metavar="TIME TIME",
    help="Only events from one virtual time to another, both inclusive: nanoseconds, or with a unit, such as 1ms.",
)
@option("--ring", type=Parsed(_ring, "rings"), metavar="FROM->TO", help="Only ring transitions such as 3->0.")
@option(
    "--cycle", type=NOT_NEGATIVE, metavar="N", help="Only events from the beginning of a cycle, from 0, to the next."
)
@option("--first", type=POSITIVE, metavar="N", help="Only the first N of them; the rest of the file is not read.")
@option("--last", type=POSITIVE, metavar="N", help="Only the last N of them.")
@option("--count", is_flag=True, help="Print only their number.")
@option("--json", "as_json", is_flag=True, help="Print JSON Lines, as in the file.")
def events(
    *,
    file: Path,
    kind: Sequence[str],
    between: tuple[int, int] | None,
    ring: tuple[int, int] | None,
    cycle: int | None,
    first: int | None,
    last: int | None,
    count: bool,
    as_json: bool,
) -> None:
    """Show the events of a recording, one per line: number, virtual time (ns), kind and fields.

    Example: enclave-sim events counter.jsonl --ring "3->0" --between 0 1ms
    """
    from enclave_sim.recording.query import select  # noqa: PLC0415
    from enclave_sim.recording.reader import RecordingFile  # noqa: PLC0415

    if first is not None and last is not None:
        raise ConfigurationError("--first and --last exclude each other")
    recording = RecordingFile(file)
    part = recording if between is None or cycle is not None else recording.between(*between)
    begun: list[int] = []
    read = iter(part) if cycle is None else _noting(begun, part)
    found = select(read, kind=kind or None, between=between, ring=ring, cycle=cycle)
    if first is not None:
        found = islice(found, first)
    elif last is not None:
        found = iter(deque(found, maxlen=last))
    if count:
        write(f"{sum(1 for _ in found)}\n".encode())
    else:
        _show(found, as_json=as_json)
    if cycle is not None and cycle not in begun:
        there_are = plural(len(begun), "cycle") + (f", 0 to {begun[-1]}" if len(begun) > 1 else "")
        click.echo(f"note: the recording has no cycle {cycle}; it has {there_are}", err=True)


def _noting(begun: list[int], events: "Iterable[Event]") -> "Iterator[Event]":
    """Yield the same events, and add the number of each cycle that begins to a list."""
    from enclave_sim.events import CycleBegan  # noqa: PLC0415

    for event in events:
        if isinstance(event, CycleBegan):
            begun.append(event.cycle)
        yield event


def _show(found: "Iterator[Event]", *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415

    from enclave_sim.recording.event_text import event_line, heading  # noqa: PLC0415

    encoder, encoding = msgspec.json.Encoder(), sys.stdout.encoding or "utf-8"
    lines = [] if as_json else [heading()]
    while some := list(islice(found, _LINES)):
        if as_json:
            output = encoder.encode_lines(some)
        else:
            lines += map(event_line, some)
            output = "".join(f"{line}\n" for line in lines).encode(encoding, "backslashreplace")
            lines.clear()
        if not write(output):
            return
    if lines:
        click.echo("no event matches", err=True)
