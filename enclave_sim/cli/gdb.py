"""`enclave-sim gdb`: serve gdb, so that it goes through a run in both directions."""

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cli.options import DEFAULT_FLAT_PAYLOAD, DEFAULT_PAYLOAD, Payloads, number
from enclave_sim.configuration import EnclaveConfiguration
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.specification import Attestation, EngineName

if TYPE_CHECKING:
    from enclave_sim.time_travel import Session

EXIT_CODES = """\b
[bold]Exit codes[/bold]
  0  ended by Ctrl-C, or (--stdio) by gdb
  2  usage error: an option, a file, a key or an address is not what it should be"""
_DEFAULTS = EnclaveConfiguration()
_PORT, _LOOPBACK = 1234, "127.0.0.1"
_RUN = "The run"


def gdb(
    payload: Payloads = None,
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Port to listen at; 0 picks a free one. Default: {_PORT}")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help=f"Where to listen. Default: {_LOOPBACK}, for this host alone")
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Serve one gdb on standard input and output: target remote | ...")
    ] = False,
    cycles: Annotated[
        int, typer.Option(parser=number, metavar="N", help="Wake cycles to run.", rich_help_panel=_RUN)
    ] = 1,
    wake_ns: Annotated[
        int, typer.Option(parser=number, metavar="NS", help="Sleep between two cycles.", rich_help_panel=_RUN)
    ] = _DEFAULTS.wake_ns,
    quantum_ns: Annotated[
        int,
        typer.Option(
            parser=number,
            metavar="NS",
            help="How long the guest computes before the timer interrupts it.",
            rich_help_panel=_RUN,
        ),
    ] = _DEFAULTS.quantum_ns,
    sensor0: Annotated[
        int, typer.Option(parser=number, metavar="WORD", help="What sensor 0 reads.", rich_help_panel=_RUN)
    ] = 0,
    sensor1: Annotated[
        int, typer.Option(parser=number, metavar="WORD", help="What sensor 1 reads.", rich_help_panel=_RUN)
    ] = 0,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What reaches the enclave from outside, and when: a TOML file (docs/inputs.md).",
            rich_help_panel=_RUN,
        ),
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="wasmtime runs signed modules; native runs one flat x86-64 binary, which gdb can step through.",
            rich_help_panel=_RUN,
        ),
    ] = EngineName.WASMTIME,
    trust_anchor: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Accept this anchor (NAME.anchor.json) besides the development anchor; may be repeated.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Let payloads use a WebAssembly feature beyond the profile; may be repeated.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    attestation: Annotated[
        Attestation, typer.Option(help="What is demanded before every cycle.", rich_help_panel=_RUN)
    ] = _DEFAULTS.attestation,
) -> None:
    """Serve gdb: break, step, print and watch, forwards and backwards, from power-on to dormant.

    Example: enclave-sim gdb counter --cycles 3
    """
    if stdio and (port is not None or host is not None):
        raise ConfigurationError("--stdio takes no --port and no --host: it does not listen")
    from enclave_sim.input_script import read_inputs  # noqa: PLC0415
    from enclave_sim.time_travel import Session  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

    session = Session(
        payload or [DEFAULT_PAYLOAD if engine is EngineName.WASMTIME else DEFAULT_FLAT_PAYLOAD],
        cycles=cycles,
        wake_ns=wake_ns,
        quantum_ns=quantum_ns,
        sensors=(sensor0, sensor1),
        inputs=() if inputs is None else read_inputs(inputs, engine),
        engine=engine,
        trust_anchors=[development_anchor(), *map(TrustAnchor.load, trust_anchor or ())],
        features=frozenset(feature or ()),
        attestation=attestation,
    )
    with contextlib.suppress(KeyboardInterrupt):
        if stdio:
            _serve_stdio(session)
        else:
            from enclave_sim.gdb.server import serve  # noqa: PLC0415

            serve(
                session,
                _LOOPBACK if host is None else host,
                _PORT if port is None else port,
                lambda address: typer.echo(f"gdb is served: target remote {address}"),
            )


def _serve_stdio(session: "Session") -> None:
    from enclave_sim.gdb.channel import FileChannel  # noqa: PLC0415
    from enclave_sim.gdb.server import serve_one  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is gdb's, which tells of it; its end is the end here
    serve_one(session, FileChannel(sys.stdin.fileno(), sys.stdout.fileno()))
