"""`enclave-sim diff`: the differences between two recordings."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enclave_sim.cli.command import command
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.types import FILE
from enclave_sim.recording.text import plural, printable

if TYPE_CHECKING:
    from enclave_sim.recording.comparison.comparison import Comparison, Hunk

_LONGEST_VALUE = 160
EXIT_CODES = """\b
Exit codes
  0  the recordings are equal
  2  one of them is damaged or cannot be read
 12  they differ
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@click.argument("first", type=FILE, metavar="A", help="A recording.")
@click.argument("second", type=FILE, metavar="B", help="Another recording.")
@as_json_option
def diff(first: Path, second: Path, as_json: bool) -> ExitCode:
    """Show how two recordings differ: their headers, their first different events, and all later differences.

    Events are aligned by kind and fields, so that equal stretches are found again after a difference.

    Example: enclave-sim diff yesterday.jsonl today.jsonl
    """
    from enclave_sim.recording.comparison.comparison import compare  # noqa: PLC0415

    found = compare(first, second)
    if as_json:
        import msgspec  # noqa: PLC0415

        write(msgspec.json.encode({"equal": found.equal, **_fields(found)}) + b"\n")
    elif found.equal:
        write(f"equal: {plural(found.events[0], 'event')}, digest {found.digests[0]}\n".encode())
    else:
        from enclave_sim.cli.output.diff_text import marked_text  # noqa: PLC0415

        write(marked_text(_lines(found, printable(str(first)), printable(str(second)))))
    return ExitCode.OK if found.equal else ExitCode.DIFFERENT


def _fields(found: "Comparison") -> dict[str, Any]:
    from dataclasses import fields  # noqa: PLC0415

    return {field.name: getattr(found, field.name) for field in fields(found)}


def _lines(found: "Comparison", first: str, second: str) -> Iterator[str]:
    from enclave_sim.recording.event_text import differing_lines  # noqa: PLC0415

    for mark, name, events, digest in zip("-+", (first, second), found.events, found.digests, strict=True):
        yield f"{mark} {name}: {plural(events, 'event')}, digest {digest}"
    if found.header:
        yield from ("", "Their headers differ:")
        for difference in found.header:
            yield f"  {printable(difference.name)}"
            yield f"- {_short(difference.first)}"
            yield f"+ {_short(difference.second)}"
    if found.divergence is None:
        yield from ("", "All events are the same.")
        return
    seq = (found.divergence.first or found.divergence.second)[0].seq
    yield from ("", f"They diverge at event {seq:,}:")
    yield from differing_lines(found.divergence, first, second)
    yield from _alignment(found)


def _alignment(found: "Comparison") -> Iterator[str]:
    shift = found.shift_ns
    yield from ("", f"In common: {plural(found.aligned, 'event')}")
    if shift.least or shift.most:
        yield f"B is later than A by {shift.least:,} to {shift.most:,} ns, at the last one by {shift.last:,} ns"
    kinds = sorted(found.only_first.keys() | found.only_second.keys())
    if kinds:
        yield f"  {'only in A':>12}  {'only in B':>12}  kind"
        for kind in kinds:
            yield f"  {found.only_first.get(kind, 0):>12,}  {found.only_second.get(kind, 0):>12,}  {kind}"
    for number, hunk in enumerate(found.hunks, start=1):
        yield from ("", f"Difference {number:,} of {found.hunk_count:,}:")
        yield from _hunk(hunk)
    if found.hunk_count > len(found.hunks):
        yield from ("", f"and {plural(found.hunk_count - len(found.hunks), 'more difference')}")


def _hunk(hunk: "Hunk") -> Iterator[str]:
    from enclave_sim.recording.event_text import marked  # noqa: PLC0415

    yield from marked(" ", hunk.before)
    for mark, events, count in (("-", hunk.first, hunk.first_count), ("+", hunk.second, hunk.second_count)):
        yield from marked(mark, events)
        if count > len(events):
            yield f"{mark} and {plural(count - len(events), 'more event')}"


def _short(value: Any) -> str:
    import msgspec  # noqa: PLC0415

    text = printable(msgspec.json.encode(value).decode())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
