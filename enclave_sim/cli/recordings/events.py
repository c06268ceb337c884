"""`enclave-sim events`: query a recording."""

import re
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cli.options.common import number, write
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from machine.events import Event

_LINES = 512
"""The number of lines written at once."""


def events(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.")],
    *,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only events of this kind; may be repeated.")
    ] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="NS NS", help="Only events from one virtual time to another, both included."),
    ] = None,
    ring: Annotated[
        str | None, typer.Option(metavar="FROM->TO", help="Only ring transitions such as 3->0.", show_default=False)
    ] = None,
    first: Annotated[
        int | None, typer.Option(parser=number, metavar="N", help="Only the first N of them; the rest is not read.")
    ] = None,
    last: Annotated[int | None, typer.Option(parser=number, metavar="N", help="Only the last N of them.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Print only their number.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, as they are in the file.")] = False,
) -> None:
    """Show the events of a recording, one a line: number, virtual time (ns), kind and fields.

    Example: enclave-sim events counter.jsonl --ring "3->0" --between 0 1_000_000
    """
    from enclave_sim.recording.query import select  # noqa: PLC0415
    from enclave_sim.recording.reader import read_events  # noqa: PLC0415

    for name, value in (("--first", first), ("--last", last)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} is {value}; it must be at least 1")
    if first is not None and last is not None:
        raise ConfigurationError("--first and --last exclude each other")
    times = (number(between[0]), number(between[1])) if between is not None else None
    found = select(read_events(file), kind=kind or None, between=times, ring=_ring(ring))
    if first is not None:
        found = islice(found, first)
    elif last is not None:
        found = iter(deque(found, maxlen=last))
    if count:
        write(f"{sum(1 for _ in found)}\n".encode())
    else:
        _show(found, as_json=as_json)


def _ring(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-3])\s*->\s*([0-3])\s*", text)
    if match is None:
        raise ConfigurationError(f"--ring is {text!r}; it must be two rings of 0 to 3, such as 3->0")
    return int(match[1]), int(match[2])


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
