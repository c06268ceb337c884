"""`enclave-sim gdb`: serve gdb, and execute a run in both directions."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enclave_sim.cli.command import OUTPUT, command, option
from enclave_sim.cli.options import applicability, common, kernel
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.applicability import KERNEL, PAYLOADS
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.place import at as at_option
from enclave_sim.cli.options.place import go_to_place
from enclave_sim.cli.options.types import FILE, PORT
from enclave_sim.cli.runs.travel import image_among, kernel_run
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.specification import Attestation, EngineName, Verification

if TYPE_CHECKING:
    from enclave_sim.time_travel.link import Link
    from enclave_sim.time_travel.travel import Travel
    from firmware import Firmware

EXIT_CODES = """\b
Exit codes
  0  ended by Ctrl-C, or (--stdio) by gdb
  2  usage error: an invalid option, file, key or address"""
_OWN = {
    **applicability.KERNELS,
    "serial": (KERNEL,),
    **dict.fromkeys(("what", "port", "host", "stdio", "script", "at"), (KERNEL, PAYLOADS)),
}
_PORT, _LOOPBACK = 1234, "127.0.0.1"


@command(epilog=EXIT_CODES)
@click.argument(
    "what",
    nargs=-1,
    metavar="[PAYLOAD|IMAGE]...",
    shell_complete=common.complete_payload,
    help=f"Payloads that take turns, or a Multiboot kernel. Default: {common.DEFAULT_PAYLOAD}",
)
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
@options.cycles
@options.wake_ns
@options.quantum_ns
@options.sensor0
@options.sensor1
@options.inputs
@options.engine
@options.verify
@firmware_option
@options.trust_anchor
@options.feature
@options.attestation
@kernel.append
@kernel.module
@kernel.ram
@kernel.fw_cfg
@kernel.serial
@at_option
def gdb(
    *,
    what: Sequence[str],
    port: int | None,
    host: str | None,
    stdio: bool,
    script: bool,
    record: Path | None,
    cycles: int,
    wake_ns: int,
    quantum_ns: int,
    sensor0: int,
    sensor1: int,
    inputs: Path | None,
    engine: EngineName,
    verify: Verification,
    firmware: "Firmware | None",
    trust_anchor: Sequence[Path],
    feature: Sequence[str],
    attestation: Attestation,
    append: str,
    module: Sequence[tuple[bytes, str]],
    ram: int,
    fw_cfg: Sequence[tuple[str, bytes]],
    serial: str | None,
    at: "Link | int | None",
) -> None:
    """Serve gdb: break, step, print and watch, forwards and backwards, from power-on to dormant.

    Your own kernel runs on the bare machine, as with enclave-sim boot.

    Example: enclave-sim gdb counter --cycles 3
    """
    if stdio and (port is not None or host is not None):
        raise ConfigurationError("--stdio takes no --port and no --host: it does not listen")
    if script and (stdio or port is not None or host is not None or at is not None):
        raise ConfigurationError("--script takes no --stdio, --port, --host and --at: it serves nothing")
    names = common.or_default(what, engine)
    image = image_among(names)
    applicability.check(PAYLOADS if image is None else KERNEL, _OWN)
    if script:
        _print_script(image, names, engine, firmware)
        return
    session: Travel[Any]
    if image is not None:
        session = kernel_run(image, kernel.kernel_options(append, module, ram, fw_cfg), serial)
    else:
        from enclave_sim.time_travel import Session  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

        session = Session(
            names,
            cycles=cycles,
            wake_ns=wake_ns,
            quantum_ns=quantum_ns,
            sensors=(sensor0, sensor1),
            inputs=options.read_given_inputs(inputs, engine),
            engine=engine,
            verify=verify,
            firmware=firmware,
            trust_anchors=[development_anchor(), *map(TrustAnchor.load, trust_anchor)],
            features=frozenset(feature),
            attestation=attestation,
        )
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


def _print_script(image: str | None, names: list[str], engine: EngineName, kernel: "Firmware | None") -> None:
    from enclave_sim.enclave.configuration import read_payload  # noqa: PLC0415
    from enclave_sim.gdb.script import script  # noqa: PLC0415

    if image is None:
        for name in names:
            read_payload(name, engine)  # a mistyped image is taken for a payload
    click.echo(script(None if image is None else Path(image), kernel), nl=False)


def _serve_stdio(session: "Travel[Any]") -> None:
    from enclave_sim.gdb.protocol.reception import standard_reception  # noqa: PLC0415
    from enclave_sim.gdb.server import serve_received  # noqa: PLC0415

    reception = standard_reception()  # main began it
    if reception is None:
        raise ConfigurationError("--stdio needs standard input and output, and one of them is closed")
    serve_received(session, reception)
