"""`enclave-sim replay`: repeat a recorded run, and show where it differs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.host_limit import host_limit as host_limit_option
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.types import FILE
from enclave_sim.cli.output.rejection import note_rejection
from enclave_sim.recording.text import plural, printable

if TYPE_CHECKING:
    from enclave_sim.time_travel.replay import ReplayResult
    from firmware import Firmware

EXIT_CODES = """\b
Exit codes
  0  the run equals the recorded one
  2  the file is damaged, or its run cannot be repeated here
 11  the run differs
 16  the host-time limit --host-limit expired
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@click.argument("file", type=FILE, metavar="FILE", help="A recording written by `run --record`.")
@option(
    "--payload",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    multiple=True,
    help="Payload that the recording does not embed; may be repeated.",
)
@firmware_option
@host_limit_option
@as_json_option
def replay(
    file: Path, payload: Sequence[str], firmware: "Firmware | None", host_limit: float | None, as_json: bool
) -> ExitCode:
    """Repeat the run of a recording, from the recording alone, and compare it event by event.

    Example: enclave-sim replay counter.jsonl
    """
    from enclave_sim.time_travel.replay import replay as repeat  # noqa: PLC0415

    with limited(host_limit):
        found = repeat(file, payload, firmware)
    if found.result is not None and found.result.outcome == "PAYLOAD_REJECTED":
        note_rejection(found.result.detail)
    write(_as_json(found) if as_json else _as_text(file, found))
    return ExitCode.OK if found.equal else ExitCode.DIVERGED


def _as_json(found: "ReplayResult") -> bytes:
    import msgspec  # noqa: PLC0415

    outcome = None if found.result is None else found.result.outcome
    document = {
        "equal": found.equal,
        "digest": found.digest,
        "events": found.events,
        "interrupted": found.interrupted,
        "outcome": outcome,
        "divergence": found.divergence,
    }
    return msgspec.json.encode(document) + b"\n"


def _as_text(file: Path, found: "ReplayResult") -> bytes:
    if found.divergence is None:
        until = " until the run was interrupted" if found.interrupted else ""
        return f"equal: {plural(found.events, 'event')}{until}, digest {found.digest}\n".encode()
    from enclave_sim.cli.output.diff_text import marked_text  # noqa: PLC0415
    from enclave_sim.recording.event_text import differing_lines  # noqa: PLC0415

    seq = (found.divergence.first or found.divergence.second)[0].seq
    head = f"DIVERGED: the run differs from {printable(str(file))} at event {seq:,} (- recorded, + run)"
    return marked_text([head, "", *differing_lines(found.divergence, "the recording", "the run")])
