"""`enclave-sim replay`: make a recorded run again, and show where it is not the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.run import HostLimit
from enclave_sim.errors import KernelDied
from enclave_sim.recording.text import one_line, plural, printable

if TYPE_CHECKING:
    from enclave_sim.time_travel.replay import ReplayResult

EXIT_CODES = """Exit codes:

  0  the run is the recorded one
  2  the file is damaged, or its run cannot be made here
 11  the run is another one
 16  the host's time ran out that --host-limit gives
 70  a defect of the emulator or its firmware"""


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, as `run --record` writes it.")],
    *,
    payload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Look here for a payload that the recording does not carry; may be repeated."
        ),
    ] = None,
    host_limit: HostLimit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Make the run of a recording again, from the recording alone, and compare event by event.

    Example: enclave-sim replay counter.jsonl
    """
    from enclave_sim.time_travel.replay import replay as make_again  # noqa: PLC0415

    try:
        with limited(host_limit):
            found = make_again(file, payload or ())
    except KernelDied as error:
        typer.echo(f"error: {one_line(str(error))}", err=True)
        raise typer.Exit(ExitCode.DEFECT) from None
    write(_as_json(found) if as_json else _as_text(file, found))
    raise typer.Exit(ExitCode.OK if found.equal else ExitCode.DIVERGED)


def _as_json(found: "ReplayResult") -> bytes:
    import msgspec  # noqa: PLC0415

    outcome = None if found.result is None else found.result.outcome
    document = {
        "equal": found.equal,
        "digest": found.digest,
        "events": found.events,
        "outcome": outcome,
        "divergence": found.divergence,
    }
    return msgspec.json.encode(document) + b"\n"


def _as_text(file: Path, found: "ReplayResult") -> bytes:
    if found.divergence is None:
        return f"equal: {plural(found.events, 'event')}, digest {found.digest}\n".encode()
    from enclave_sim.cli.output.diff_text import marked_text  # noqa: PLC0415
    from enclave_sim.recording.event_text import differing_lines  # noqa: PLC0415

    seq = (found.divergence.first or found.divergence.second)[0].seq
    head = f"DIVERGED: the run parts from {printable(str(file))} at event {seq:,} (- recorded, + run)"
    return marked_text([head, "", *differing_lines(found.divergence, "the recording", "the run")])
