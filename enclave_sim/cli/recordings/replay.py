"""`enclave-sim replay`: repeat a recorded run, and show where it differs."""

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

EXIT_CODES = """\b
[bold]Exit codes[/bold]
  0  the run equals the recorded one
  2  the file is damaged, or its run cannot be repeated here
 11  the run differs
 16  the host-time limit --host-limit expired
 70  a defect of the emulator or its firmware"""


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, as `run --record` writes it.")],
    *,
    payload: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Payload that the recording does not embed; may be repeated."),
    ] = None,
    host_limit: HostLimit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Repeat the run of a recording, from the recording alone, and compare it event by event.

    Example: enclave-sim replay counter.jsonl
    """
    from enclave_sim.time_travel.replay import replay as repeat  # noqa: PLC0415

    try:
        with limited(host_limit):
            found = repeat(file, payload or ())
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
    head = f"DIVERGED: the run differs from {printable(str(file))} at event {seq:,} (- recorded, + run)"
    return marked_text([head, "", *differing_lines(found.divergence, "the recording", "the run")])
