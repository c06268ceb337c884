"""`enclave-sim campaign`: run plans of faults, and look at what became of each.

The emulator is imported inside the functions, because it takes 100 ms.
"""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enclave_sim.cli.command import Group, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.types import FILE, POSITIVE
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.campaigns.dask_cluster import DaskCluster
    from enclave_sim.campaigns.report import CampaignReport
    from enclave_sim.campaigns.store import Row, Store

_EXIT_CODES = """\b
Exit codes
  0  the run has the outcome and the digest of the stored one
  2  there is no such campaign or run
 11  the run differs from the stored one
 70  a defect of the emulator or its firmware"""
_F = TypeVar("_F", bound=Callable[..., Any])


def _store(function: _F) -> _F:
    told = "File of the campaign, written by campaign run."
    return click.argument("store", type=FILE, metavar="FILE", help=told)(function)


def _run(function: _F) -> _F:
    told = "Stratum and number of the run, as in 2/1234."
    return click.argument("run", metavar="RUN", help=told)(function)


@click.group(cls=Group, no_args_is_help=True)
def campaign() -> None:
    """Inject faults into many runs, and find out what fails, and how often.

    Example: enclave-sim campaign run registers.toml
    """


@campaign.command()
@click.argument("plan", type=FILE, metavar="PLAN-FILE", help="Plan (TOML): the enclave, the faults, the sample.")
@option("--store", type=FILE, metavar="FILE", help="File for the results. Default: the plan's name with .campaign.")
@option("--workers", type=POSITIVE, metavar="N", help="Number of processes. Default: one for each processor.")
@option("--scheduler", metavar="ADDRESS", help="Use the workers of a Dask scheduler, as tcp://host:8786.")
@as_json_option
def run(plan: Path, store: Path | None, workers: int | None, scheduler: str | None, as_json: bool) -> None:
    """Make the runs of a plan that its file does not have yet.

    It can be stopped at any time, even by SIGKILL: the same command continues,
    with any number of workers, here or elsewhere.

    Example: enclave-sim campaign run registers.toml --workers 2
    """
    from enclave_sim.campaigns.campaign import Campaign, Progress  # noqa: PLC0415
    from enclave_sim.campaigns.plan import read_plan  # noqa: PLC0415
    from enclave_sim.campaigns.report import report_of  # noqa: PLC0415
    from enclave_sim.campaigns.store import Store  # noqa: PLC0415
    from enclave_sim.cli.output.progress import ProgressLine, terminal_of  # noqa: PLC0415

    if scheduler is not None and workers is not None:
        raise ConfigurationError("--scheduler and --workers exclude each other: the cluster has its own workers")
    wanted = read_plan(plan)
    line = ProgressLine(terminal_of(sys.stderr))

    def show(progress: Progress) -> None:
        if line.is_due:
            line.draw(_progress(progress.done, progress.planned, progress.rate, progress.left_s))

    with ExitStack() as stack:
        executor = None if scheduler is None else stack.enter_context(closing(_cluster(scheduler)))
        results = stack.enter_context(Store(store or plan.with_suffix(".campaign"), create=True))
        try:
            campaign = Campaign(wanted, results)
            campaign.run(workers=workers or os.cpu_count() or 1, executor=executor, progress=show)
        finally:
            line.erase()
        report = report_of(results, wanted.sampling.confidence)
    _print(report, as_json)


@campaign.command()
@_store
@as_json_option
def status(store: Path, as_json: bool) -> None:
    """Show how much of a campaign is done.

    Example: enclave-sim campaign status registers.campaign
    """
    report = _report(store)
    if as_json:
        _print(report, as_json)
        return
    click.echo(f"{report.done:,} of {report.planned:,} runs")
    for stratum in report.strata:
        click.echo(f"  {stratum.done:>11,} of {stratum.planned:>11,}  {stratum.name}")


@campaign.command()
@_store
@option("--html", type=FILE, metavar="FILE", help="Write a page with plots.")
@option("--parquet", type=FILE, metavar="FILE", help="Write the table of runs.")
@as_json_option
def report(store: Path, html: Path | None, parquet: Path | None, as_json: bool) -> None:
    """Show the outcomes, with intervals, and the number of failures extrapolated to all faults.

    Example: enclave-sim campaign report registers.campaign --html registers.html
    """
    from enclave_sim.cli.output.written import keep, replacing  # noqa: PLC0415
    from enclave_sim.files.writing import write_file  # noqa: PLC0415

    for path in (html, parquet):
        if path is not None:
            keep({store: "the campaign"}, path)
    found = _report(store)
    if html is not None or parquet is not None:
        with _open(store) as results:
            if html is not None:
                from enclave_sim.campaigns.report_html import page  # noqa: PLC0415

                with replacing(html):
                    write_file(html, page(results, found).encode())
            if parquet is not None:
                with replacing(parquet):
                    results.export(parquet)
    _print(found, as_json)


@campaign.command()
@_store
@_run
@as_json_option
def show(store: Path, run: str, as_json: bool) -> None:
    """Show one run: its fault, its outcome, the evidence, and the command that repeats it.

    Example: enclave-sim campaign show registers.campaign 2/1234
    """
    from enclave_sim.campaigns.store import COLUMNS  # noqa: PLC0415

    row = _row(store, run)
    if as_json:
        import json  # noqa: PLC0415

        write(f"{json.dumps(dict(zip(COLUMNS, row, strict=True)))}\n".encode())
        return
    for name, value in zip(COLUMNS, row, strict=True):
        if value not in (None, "") and name not in ("stratum", "number", "evidence"):
            click.echo(f"{name:<13} {value:#x}" if name in ("rip", "address") else f"{name:<13} {value}")
    for line in str(row[-1]).splitlines():
        click.echo(f"evidence      {line}")
    click.echo(f"repeat        enclave-sim campaign rerun {store} {run}")


@campaign.command(epilog=_EXIT_CODES)
@_store
@_run
@option("--record", type=FILE, metavar="FILE", help="Write a recording, to replay it, or to inspect it.")
def rerun(store: Path, run: str, record: Path | None) -> None:
    """Repeat one run, byte for byte, and compare it with the stored one.

    Example: enclave-sim campaign rerun beacon.campaign 2/1234 --record x.jsonl
    """
    from enclave_sim.campaigns.campaign import stored_plan  # noqa: PLC0415
    from enclave_sim.campaigns.store import COLUMNS  # noqa: PLC0415
    from enclave_sim.campaigns.work import Batch, Worker  # noqa: PLC0415

    stored = dict(zip(COLUMNS, _row(store, run), strict=True))
    with _open(store) as results:
        plan = stored_plan(results, store)
    worker = Worker(plan.encoded())
    stratum, number = _numbers(run)
    (found,) = worker.run(Batch(stratum, (number,)))
    recording = worker.bench.enclave.recording
    if record is not None and recording is not None:
        recording.save(record)
    same = (found.outcome.value, found.digest) == (stored["outcome"], stored["digest"])
    click.echo(f"{found.outcome.value}, digest {found.digest or 'none'}: {'as stored' if same else 'NOT as stored'}")
    if not same:
        raise click.exceptions.Exit(ExitCode.DIVERGED)


def _cluster(address: str) -> "DaskCluster":
    """Connect to a scheduler. What its library logs is not for the user: our errors say it in one line."""
    import logging  # noqa: PLC0415

    from enclave_sim.campaigns.dask_cluster import DaskCluster  # noqa: PLC0415

    with suppress(ModuleNotFoundError):
        import distributed  # noqa: F401, PLC0415 - sets the levels of its loggers
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return DaskCluster(address)


def _open(path: Path) -> "Store":
    from enclave_sim.campaigns.store import Store  # noqa: PLC0415

    return Store(path)


def _report(path: Path) -> "CampaignReport":
    from enclave_sim.campaigns.campaign import stored_plan  # noqa: PLC0415
    from enclave_sim.campaigns.report import report_of  # noqa: PLC0415

    with _open(path) as results:
        return report_of(results, stored_plan(results, path).sampling.confidence)


def _numbers(run: str) -> tuple[int, int]:
    parts = run.split("/")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise ConfigurationError(f"{run[:40]!r} is not a run; it must be a stratum and a number, as 2/1234")
    return int(parts[0]), int(parts[1])


def _row(path: Path, run: str) -> "Row":
    stratum, number = _numbers(run)
    with _open(path) as results:
        return results.row(stratum, number)


def _progress(done: int, planned: int, rate: float, left_s: float | None) -> str:
    left = "" if left_s is None else f", {_duration(left_s)} left"
    return f"{done:,} of {planned:,} runs, {rate:,.1f} a second{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _print(report: "CampaignReport", as_json: bool) -> None:
    if as_json:
        import msgspec  # noqa: PLC0415

        write(msgspec.json.encode(report) + b"\n")
        return
    low, high = report.failures_interval
    lines = [f"{report.done:,} of {report.planned:,} runs"]
    for stratum in report.strata:
        whole = ", complete" if stratum.complete else ""
        lines += ["", f"{stratum.name}: {stratum.done:,} runs for {stratum.population:,} faults at moments{whole}"]
        for one in stratum.outcomes:
            ends = "" if stratum.complete else f"  {one.wilson[0]:>7.2%} to {one.wilson[1]:>7.2%}"
            lines.append(f"  {one.outcome:<24} {one.runs:>9,}  {one.share:>7.2%}{ends}")
    lines += ["", f"failures, extrapolated: {report.failures:,.0f} ({low:,.0f} to {high:,.0f})"]
    lines += [f"  {one.guarantee} broken in {one.runs:,} runs" for one in report.guarantees]
    write(("\n".join(lines) + "\n").encode())
