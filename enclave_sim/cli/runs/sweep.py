"""`enclave-sim sweep`: try an input at every instant of a run."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from enclave_sim.cli.command import OUTPUT, Group, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import common
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.types import FILE, POSITIVE, TIME, Choice
from enclave_sim.cli.output.progress import ProgressLine, terminal_of
from enclave_sim.cli.output.rejection import note_rejection
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.sweeps.outcomes import Arrival

if TYPE_CHECKING:
    from enclave_sim.sweeps.outcomes import Entry, Table

EXIT_CODES = """\b
Exit codes
  0  every run ended in annihilation, with all guarantees
  2  the command cannot be carried out
  9  a guarantee is broken, or a run did not end in annihilation
 70  a defect of the emulator or its firmware"""
_SWEEP = "The sweep"
_OF_RUN = ("cycles", "wake_ns", "engine", "verify", "firmware", "trust_anchor", "feature", "attestation")
_END = 1 << 62


@click.group(cls=Group, no_args_is_help=True)
def sweep() -> None:
    """Try an input at every instant of a run's life, and judge each run.

    Example: enclave-sim sweep interrupts beacon --from 1385us --to 1387us
    """


@sweep.command(epilog=EXIT_CODES)
@common.payloads
@option(
    "--kind",
    "kinds",
    type=Choice(Arrival),
    multiple=True,
    help="What arrives: the external interrupt, an NMI, the tamper signal; may be repeated. Unless given: all three.",
    heading=_SWEEP,
)
@option("--from", "from_ns", type=TIME, metavar="TIME", default="0", help="First virtual time.", heading=_SWEEP)
@option("--to", "to_ns", type=TIME, metavar="TIME", help="End of the virtual time. Default: the run's.", heading=_SWEEP)
@option("--jobs", type=POSITIVE, metavar="N", default=1, help="Number of processes.", heading=_SWEEP)
@option(
    "--state",
    type=FILE,
    metavar="FILE",
    help="Keep what is done in FILE; the same command continues from there.",
    heading=_SWEEP,
)
@options.cycles
@options.wake_ns
@options.engine
@options.verify
@firmware_option
@options.trust_anchor
@options.feature
@options.attestation
@option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.", heading=OUTPUT)
@options.configured
def interrupts(
    *,
    configuration: EnclaveConfiguration,
    payload: Sequence[str],
    kinds: Sequence[Arrival],
    from_ns: int,
    to_ns: int | None,
    jobs: int,
    state: Path | None,
    trust_anchor: Sequence[Path],
    as_json: bool,
) -> ExitCode:
    """Let an interrupt arrive after every instruction of a run, and judge each of these runs.

    Each line is a class of runs that ended alike, with the first of them and a command that repeats it.

    Example: enclave-sim sweep interrupts beacon --from 1385us --to 1387us
    """
    from enclave_sim.enclave.options import EnclaveOptions  # noqa: PLC0415 - unicorn and wasmtime take 100 ms
    from enclave_sim.sweeps import Sweep  # noqa: PLC0415

    names = common.or_default(payload, configuration.engine)
    if to_ns is not None and to_ns <= from_ns:
        raise ConfigurationError(f"--to: {to_ns} ns is not after --from, {from_ns} ns")
    anchors = (development_anchor(), *map(TrustAnchor.load, trust_anchor))
    chosen = Sweep(
        names[0] if len(names) == 1 else names,
        kinds=list(dict.fromkeys(kinds or Arrival)),
        window=range(from_ns, _END if to_ns is None else to_ns),
        enclave=EnclaveOptions(configuration, trust_anchors=anchors),
    )
    line = ProgressLine(None if as_json else terminal_of(sys.stderr))
    total = len(chosen.points)

    def show(done: int) -> None:
        if line.is_due:
            line.draw(f"{done:,} of {total:,} instants ...")

    try:
        table = chosen.run(jobs=jobs, state=state, progress=show)
    finally:
        line.erase()
    for detail in {one.outcome.detail for one in table.entries if one.outcome.outcome == "PAYLOAD_REJECTED"}:
        note_rejection(detail)
    repeat = _repeating(names)
    if as_json:
        from enclave_sim.sweeps.objects import sweep_object  # noqa: PLC0415

        found = sweep_object(names, total, table, lambda entry: repeat(entry.outcome.arrival, entry.first.at_ns))
        write(msgspec.json.encode(found) + b"\n")
    else:
        write(_text(total, table, repeat).encode())
    return ExitCode.OK if table.holds else ExitCode.GUARANTEE


def _text(instants: int, table: "Table", repeat: Callable[[Arrival, int], str]) -> str:
    lines = [
        f"{table.runs:,} runs, at {instants:,} instants; {table.executed:,} executed to the end",
        "",
        str(table),
        "",
    ]
    entries: Sequence[Entry] = table.entries
    lines += [repeat(one.outcome.arrival, one.first.at_ns) for one in entries]
    return "".join(f"{line}\n" for line in lines)


def _repeating(names: Sequence[str]) -> Callable[[Arrival, int], str]:
    """Return what makes a command that repeats one run, with the options given to this one."""
    context = click.get_current_context()
    words = [*names]
    for parameter in context.command.params:
        name = str(parameter.name)
        if name in _OF_RUN and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            value = context.params[name]
            for one in value if isinstance(value, tuple | list) else [value]:
                words += [parameter.opts[0], str(getattr(one, "value", one))]
    run = " ".join(map(shlex.quote, words))

    def command(arrival: Arrival, at_ns: int) -> str:
        script = arrival.script(at_ns).replace("\n", "\\n")
        return f"printf '{script}' > {arrival.value}.toml; enclave-sim run {run} --inputs {arrival.value}.toml"

    return command
