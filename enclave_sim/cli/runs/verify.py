"""`enclave-sim verify`: judge and show every guarantee."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from enclave_sim.cli.command import command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import common
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.host_limit import host_limit as host_limit_option
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.types import NUMBER, POSITIVE_TIME, Parsed
from enclave_sim.cli.output.progress import ProgressLine, terminal_of
from enclave_sim.cli.output.rejection import REJECTED
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.text import printable

if TYPE_CHECKING:
    from rich.text import Text

    from enclave_sim.guarantees import Report, ShortLived

EXIT_CODES = """\b
Exit codes
  0  every guarantee holds
  2  the command cannot be carried out
  9  a guarantee is broken, or no guest sees a secret that was named
 16  the host-time limit --host-limit expired
 70  a defect of the emulator or its firmware"""


def _promise(text: str) -> "ShortLived":
    from enclave_sim.guarantees import ShortLived  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

    return ShortLived.parse(text)


@command(epilog=EXIT_CODES)
@common.payloads
@option(
    "--runs",
    type=NUMBER,
    metavar="N",
    default=3,
    help="Number of equal runs to compare, and of runs under varied load.",
)
@option("--cycles", type=NUMBER, metavar="N", default=2, help="Number of cycles in each run.")
@option("--limit-ns", type=POSITIVE_TIME, metavar="TIME", default="10s", help="End each run at this virtual time.")
@host_limit_option
@option("--seed", type=NUMBER, metavar="N", default=0, help="Seed of loads and secrets.")
@option(
    "--secret",
    metavar="KIND",
    multiple=True,
    help="Secret to vary: data (segments), memory, wake or uplink; may be repeated. Unless given: wake and memory.",
)
@option(
    "--short-lived",
    "promises",
    metavar="SECRET=TIME@PLACES",
    multiple=True,
    type=Parsed(_promise, "promise"),
    help="A secret (data, nonce:1, input:0, answer:0), the longest that a place may hold it, and the places that may,"
    " joined by +. TIME or PLACES may be missing; may be repeated.",
)
@options.engine
@options.verify
@firmware_option
@options.production
@options.trust_anchor
@options.feature
@options.inputs
@common.as_json
@options.configured
def verify(
    *,
    configuration: EnclaveConfiguration,
    payload: Sequence[str],
    runs: int,
    limit_ns: int,
    host_limit: float | None,
    seed: int,
    secret: Sequence[str],
    promises: "Sequence[ShortLived]",
    trust_anchor: Sequence[Path],
    inputs: Path | None,
    as_json: bool,
) -> ExitCode:
    """Judge a payload's runs by every guarantee of the enclave.

    A guarantee that does not hold is shown with its evidence: events, bytes, addresses. If a payload is rejected,
    the guarantees are judged all the same, and a line says so.

    Example: enclave-sim verify counter --runs 5 --cycles 4
    """
    from enclave_sim.enclave.options import EnclaveOptions  # noqa: PLC0415
    from enclave_sim.guarantees import Scenario  # noqa: PLC0415 - unicorn and wasmtime take 100 ms
    from enclave_sim.guarantees.verification import verify as judge  # noqa: PLC0415

    names = common.or_default(payload, configuration.engine)
    anchors = (development_anchor(), *map(TrustAnchor.load, trust_anchor))
    chosen = EnclaveOptions(configuration, trust_anchors=anchors)
    taken = options.read_given_inputs(inputs, configuration.engine)
    scenario = Scenario(names[0] if len(names) == 1 else names, chosen, taken, limit_ns)
    line = ProgressLine(None if as_json else terminal_of(sys.stderr))

    def show_progress(what: str) -> None:
        if line.is_due:
            line.draw(f"{what} ...")

    try:
        with limited(host_limit):
            reports = list(
                judge(scenario, runs=runs, seed=seed, secrets=secret, promises=promises, progress=show_progress)
            )
    finally:
        line.erase()
    holds = _holds(reports, named=bool(secret or promises))
    write(_as_json(names, reports, holds=holds) if as_json else _as_table(names, reports))
    return ExitCode.OK if holds else ExitCode.GUARANTEE


def _holds(reports: "list[Report]", *, named: bool) -> bool:
    """Return True if every guarantee holds, as far as there is evidence, which secrets that were named must have.

    A payload that is rejected gives none.
    """
    excused = not named or any("rejected" in report.looked_at for report in reports)
    return all(report.holds or (excused and not report.findings) for report in reports)


def _as_json(names: list[str], reports: "list[Report]", *, holds: bool) -> bytes:
    from enclave_sim.guarantees.report import VerificationObject  # noqa: PLC0415

    document = VerificationObject(payloads=names, holds=holds, guarantees=[report.to_dict() for report in reports])
    return f"{json.dumps(document)}\n".encode()


def _as_table(names: list[str], reports: "list[Report]") -> bytes:
    from rich.console import Group  # noqa: PLC0415 - rich takes 50 ms
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from enclave_sim.cli.output.drawing import draw  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("Guarantee", "", "Checked"):
        table.add_column(heading)
    for report in reports:
        styles = {"holds": "green", "BROKEN": "bold red", "NO EVIDENCE": "bold yellow"}
        verdict = Text(report.verdict, styles[report.verdict])
        looked = ", ".join(f"{name} {value}" for name, value in report.looked_at.items())
        table.add_row(Text(report.guarantee), verdict, Text(looked))
    lines = [Text(f"Guarantees of {printable(', '.join(names))}", "bold"), Text()]
    pictures: list[Text] = []
    for report in reports:
        if report.picture:
            pictures += [Text(), Text("Latency of timer wakes, from the deadline to the handler:")]
            pictures += [Text(line) for line in report.picture]
        if not report.holds:
            pictures += [Text(), *(Text(printable(line), "red") for line in str(report).splitlines())]
        if "rejected" in report.looked_at:
            why = f"{REJECTED}: {report.looked_at['rejected by']}; enclave-sim run shows what was wrong with it"
            pictures += [Text(), Text(why, "yellow")]
    return draw(lambda _width, unicode: Group(*lines, table, *(p if unicode else _ascii(p) for p in pictures)))


def _ascii(text: "Text") -> "Text":
    """Replace the bars, for a terminal without block characters."""
    text.plain = text.plain.replace("\u2588", "#")
    return text
