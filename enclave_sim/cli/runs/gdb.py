"""`enclave-sim gdb`: serve gdb, and execute a run in both directions."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enclave_sim.cli.command import OUTPUT, command, option
from enclave_sim.cli.options.place import at as at_option
from enclave_sim.cli.options.place import go_to_place
from enclave_sim.cli.options.types import FILE, PORT
from enclave_sim.cli.runs.travel import ANY, Subject, of_subject
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.time_travel.link import Link
    from enclave_sim.time_travel.travel import Travel

EXIT_CODES = """\b
Exit codes
  0  ended by Ctrl-C, or (--stdio) by gdb
  2  usage error: an invalid option, file, key or address
 70  a defect of the emulator or its firmware"""
_OWN = dict.fromkeys(("port", "host", "stdio", "script", "at"), ANY)
_PORT, _LOOPBACK = 1234, "127.0.0.1"


@command(epilog=EXIT_CODES)
@option("--port", type=PORT, metavar="N", help=f"Port to listen on; 0 picks a free one. Default: {_PORT}")
@option("--host", metavar="ADDRESS", help=f"Address to listen on. Default: {_LOOPBACK}, this host only")
@option("--stdio", is_flag=True, help="Serve one gdb on standard input and output: target remote | ...")
@option("--script", is_flag=True, help="Print commands that prepare gdb for this run, and serve nothing: gdb -x FILE")
@option(
    "--record",
    type=FILE,
    metavar="FILE",
    help="Write the events up to where gdb leaves the run to FILE, with what gdb wrote: for replay and inspect.",
    heading=OUTPUT,
)
@at_option
@of_subject
def gdb(
    *,
    subject: Subject,
    port: int | None,
    host: str | None,
    stdio: bool,
    script: bool,
    record: Path | None,
    at: "Link | int | None",
) -> None:
    """Serve gdb: break, step, print and watch, forwards and backwards, from power-on to dormant.

    A recording is replayed and compared. Your own kernel runs on the bare machine, as with enclave-sim boot.

    Example: enclave-sim gdb counter --cycles 3
    """
    if stdio and (port is not None or host is not None):
        raise ConfigurationError("--stdio takes no --port and no --host: it does not listen")
    if script and (stdio or port is not None or host is not None or at is not None):
        raise ConfigurationError("--script takes no --stdio, --port, --host and --at: it serves nothing")
    subject.check(_OWN)
    if script:
        _print_script(subject)
        return
    session = subject.run()
    go_to_place(session, at)
    with _recorded(session, record), contextlib.suppress(KeyboardInterrupt):
        if stdio:
            _serve_stdio(session)
        else:
            from enclave_sim.gdb.server import serve  # noqa: PLC0415

            serve(
                session,
                _LOOPBACK if host is None else host,
                _PORT if port is None else port,
                lambda address: click.echo(f"gdb is served: target remote {address}"),
            )


@contextlib.contextmanager
def _recorded(session: "Travel[Any]", path: Path | None) -> Iterator[None]:
    """Write a recording of the run as it is at the end of the scope. Raises ConfigurationError if it cannot."""
    if path is None:
        yield
        return
    from enclave_sim.cli.runs.recording import recording_to  # noqa: PLC0415

    with recording_to(path, session.subject.header) as writer:
        yield
        for event in session.events:
            writer.record(event)


def _print_script(subject: Subject) -> None:
    from enclave_sim.enclave.configuration import read_payload  # noqa: PLC0415
    from enclave_sim.gdb.script import script  # noqa: PLC0415

    configuration, image = subject.configuration, subject.image
    if subject.recording is not None:
        image = subject.recorded(subject.recording).image_name
    elif image is None:
        for name in subject.names:
            read_payload(name, configuration.engine)  # a mistyped image is taken for a payload
    click.echo(script(None if image is None else Path(image), configuration.firmware), nl=False)


def _serve_stdio(session: "Travel[Any]") -> None:
    from enclave_sim.gdb.protocol.reception import standard_reception  # noqa: PLC0415
    from enclave_sim.gdb.server import serve_received  # noqa: PLC0415

    reception = standard_reception()  # main began it
    if reception is None:
        raise ConfigurationError("--stdio needs standard input and output, and one of them is closed")
    serve_received(session, reception)
