"""`enclave-sim coverage`: which lines of the kernel a run executes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from enclave_sim.cli.command import MACHINE, OUTPUT, command, option
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.types import FILE, POSITIVE_TIME
from enclave_sim.cli.output.rejection import Rejections
from enclave_sim.cli.runs.travel import ANY, Subject, of_subject
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.coverage import CoverageReport

_OWN = dict.fromkeys(("limit_ns", "output", "html", "as_json"), ANY)


@command()
@option("--limit-ns", type=POSITIVE_TIME, metavar="TIME", help="Stop at this virtual time.", heading=MACHINE)
@option(
    "--output", "-o", type=FILE, metavar="FILE", help="Write an LCOV tracefile, for genhtml and others.", heading=OUTPUT
)
@option("--html", type=FILE, metavar="FILE", help="Write one page with the sources.", heading=OUTPUT)
@option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.", heading=OUTPUT)
@of_subject
def coverage(*, subject: Subject, limit_ns: int | None, output: Path | None, html: Path | None, as_json: bool) -> None:
    """Show which lines, branches and functions of the kernel a run executes.

    The run is the same as without this, byte for byte. A kernel of your own needs debugging information (-g).

    Example: enclave-sim coverage beacon -o beacon.info
    """
    subject.check(_OWN)
    from enclave_sim.cli.output.written import keep  # noqa: PLC0415

    for path in (output, html):
        if path is not None:
            keep({}, path)
    report = _covered(subject, limit_ns)
    if output is not None:
        from enclave_sim.coverage.lcov import lcov  # noqa: PLC0415

        _save(output, lcov(report), as_json=as_json)
    if html is not None:
        from enclave_sim.coverage.html import html as page  # noqa: PLC0415

        _save(html, page(report), as_json=as_json)
    if as_json:
        from enclave_sim.coverage.objects import coverage_object  # noqa: PLC0415

        write(msgspec.json.encode(coverage_object(report)) + b"\n")
    else:
        write(f"{report}\n".encode())


def _save(path: Path, text: str, *, as_json: bool) -> None:
    from enclave_sim.cli.output.written import replacing, save  # noqa: PLC0415
    from enclave_sim.files.writing import write_file  # noqa: PLC0415

    if not as_json:
        save(path, text.encode())
        return
    with replacing(path):  # standard output is one JSON object
        write_file(path, text.encode())


def _covered(subject: Subject, limit_ns: int | None) -> "CoverageReport":
    """Run the subject to its end, and return the coverage."""
    from enclave_sim.coverage import Coverage  # noqa: PLC0415 - unicorn and wasmtime take 100 ms
    from enclave_sim.enclave.enclave import Enclave  # noqa: PLC0415

    rejections = Rejections()
    run: Any = subject.maker()(rejections)
    if limit_ns is None and not isinstance(run, Enclave):
        raise ConfigurationError("--limit-ns is missing: a kernel may run forever")
    collected = Coverage(run.program)
    collected.attach(run.machine)
    if isinstance(run, Enclave):
        run.run(limit_ns)
        rejections.note()
        return collected.report()
    from machine.machine import Outcome  # noqa: PLC0415

    while run.advance(limit_ns) is Outcome.STOPPED and run.exit_status is None:
        pass
    return collected.report()
