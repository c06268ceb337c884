"""`enclave-sim interrupts`: the stretches of a recorded run in which interrupts are on or off."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import command, option
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.types import FILE, POSITIVE
from enclave_sim.recording.text import plural

if TYPE_CHECKING:
    from enclave_sim.recording.interrupt_windows import Window
    from firmware import Firmware

_SHOWN = 10
EXIT_CODES = """\b
Exit codes
  0  the run equals the recorded one
  2  the recording cannot be repeated here, or the file cannot be written
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@click.argument("file", type=FILE, metavar="FILE", help="A recording written by `run --record`.")
@option("--longest", type=POSITIVE, metavar="N", default=_SHOWN, help="Show the N longest windows with interrupts off.")
@option("--output", "-o", type=FILE, metavar="PATH", help="Write all windows as a Parquet table instead.")
@option(
    "--payload",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    multiple=True,
    help="Payload that the recording does not embed; may be repeated.",
)
@firmware_option
@as_json_option
def interrupts(
    *,
    file: Path,
    longest: int,
    output: Path | None,
    payload: Sequence[str],
    firmware: "Firmware | None",
    as_json: bool,
) -> None:
    """Repeat a recorded run, and show how long RFLAGS.IF was clear: external interrupts were not taken.

    Example: enclave-sim interrupts counter.jsonl --longest 3
    """
    from enclave_sim.time_travel.interrupt_replay import interrupt_windows  # noqa: PLC0415 - unicorn takes 100 ms

    if output is not None:
        from enclave_sim.recording.interrupt_windows import table  # noqa: PLC0415

        table(())  # pyarrow may be missing
        from enclave_sim.cli.output.written import keep  # noqa: PLC0415

        keep({file: "the recording"}, output)
    windows = interrupt_windows(file, payload, firmware)
    if output is not None:
        _save(output, windows)
        return
    off = [one for one in windows if not one.enabled]
    found = sorted(off, key=lambda one: one.duration_ns, reverse=True)[:longest]
    write(_as_json(windows, found) if as_json else "".join(f"{line}\n" for line in _lines(off, found)).encode())


def _save(path: Path, windows: "list[Window]") -> None:
    from enclave_sim.cli.output.written import saving  # noqa: PLC0415
    from enclave_sim.recording.interrupt_windows import write as write_table  # noqa: PLC0415

    with saving(path, "write a table to") as file:
        write_table(windows, file)


def _as_json(windows: "list[Window]", found: "list[Window]") -> bytes:
    import msgspec  # noqa: PLC0415

    off_ns = sum(one.duration_ns for one in windows if not one.enabled)
    return msgspec.json.encode({"windows": len(windows), "off_ns": off_ns, "longest": found}) + b"\n"


def _lines(off: "list[Window]", found: "list[Window]") -> Iterator[str]:
    total = sum(one.duration_ns for one in off)
    yield f"interrupts are off in {plural(len(off), 'window')}, {total:,} ns in all"
    yield f"{'ns':>15}  {'from ns':>15}  {'to ns':>15}  {'event':>9}  begun by"
    for one in found:
        where = f" at {one.symbol or hex(one.rip)}" if one.rip is not None else ""
        times = f"{one.duration_ns:>15,}  {one.begin_ns:>15,}  {one.end_ns:>15,}"
        yield f"{times}  {one.first_event:>9,}  {one.begun_by}{where}"
