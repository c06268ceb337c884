"""`enclave-sim gdb`: serve gdb, which executes a run in both directions."""

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enclave_sim.cli.options import applicability, kernel
from enclave_sim.cli.options.applicability import KERNEL, PAYLOADS
from enclave_sim.cli.options.common import DEFAULT_FLAT_PAYLOAD, DEFAULT_PAYLOAD
from enclave_sim.cli.options.run import (
    Anchors,
    Append,
    AttestationPolicy,
    Cycles,
    Engine,
    Features,
    FwCfg,
    Inputs,
    Modules,
    QuantumNs,
    RamSize,
    Sensor0,
    Sensor1,
    WakeNs,
    kernel_options,
)
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.specification import EngineName

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
    from enclave_sim.time_travel.travel import Travel

EXIT_CODES = """\b
[bold]Exit codes[/bold]
  0  ended by Ctrl-C, or (--stdio) by gdb
  2  usage error: an invalid option, file, key or address"""
_DEFAULTS = EnclaveConfiguration()
_OWN = {**applicability.KERNELS, **dict.fromkeys(("what", "port", "host", "stdio"), (KERNEL, PAYLOADS))}
_PORT, _LOOPBACK = 1234, "127.0.0.1"


def gdb(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAYLOAD|IMAGE",
            help=f"Payloads that take turns, or a Multiboot kernel. Default: {DEFAULT_PAYLOAD}",
            show_default=False,
        ),
    ] = None,
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Port to listen on; 0 picks a free one. Default: {_PORT}")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help=f"Address to listen on. Default: {_LOOPBACK}, this host only")
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Serve one gdb on standard input and output: target remote | ...")
    ] = False,
    cycles: Cycles = 1,
    wake_ns: WakeNs = _DEFAULTS.wake_ns,
    quantum_ns: QuantumNs = _DEFAULTS.quantum_ns,
    sensor0: Sensor0 = 0,
    sensor1: Sensor1 = 0,
    inputs: Inputs = None,
    engine: Engine = EngineName.WASMTIME,
    trust_anchor: Anchors = None,
    feature: Features = None,
    attestation: AttestationPolicy = _DEFAULTS.attestation,
    append: Append = "",
    module: Modules = None,
    ram: RamSize = kernel.RAM,
    fw_cfg: FwCfg = None,
) -> None:
    """Serve gdb: break, step, print and watch, forwards and backwards, from power-on to dormant.

    Your own kernel runs on the bare machine, as with enclave-sim boot.

    Example: enclave-sim gdb counter --cycles 3
    """
    if stdio and (port is not None or host is not None):
        raise ConfigurationError("--stdio takes no --port and no --host: it does not listen")
    names = what or [DEFAULT_PAYLOAD if engine is EngineName.WASMTIME else DEFAULT_FLAT_PAYLOAD]
    image = _image_among(names)
    applicability.check(context, PAYLOADS if image is None else KERNEL, _OWN)
    session: Travel[Any]
    if image is not None:
        session = _kernel(image, kernel_options(append, module, ram, fw_cfg))
    else:
        from enclave_sim.enclave.inputs.script import read_inputs  # noqa: PLC0415
        from enclave_sim.time_travel import Session  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

        session = Session(
            names,
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


def _image_among(names: list[str]) -> str | None:
    from enclave_sim.enclave.kernel.bare_kernel import is_kernel_image  # noqa: PLC0415

    found = next((name for name in names if is_kernel_image(Path(name))), None)
    if found is not None and len(names) > 1:
        raise ConfigurationError(f"{found} is a kernel image, which runs alone")
    return found


def _kernel(path: str, options: "KernelOptions") -> "Travel[Any]":
    from enclave_sim.time_travel.travel import Travel  # noqa: PLC0415

    image = kernel.read_file(path)
    return Travel(lambda recorder: options.kernel(path, image, recorder=recorder))


def _serve_stdio(session: "Travel[Any]") -> None:
    from enclave_sim.gdb.protocol.channel import FileChannel  # noqa: PLC0415
    from enclave_sim.gdb.server import serve_one  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # gdb handles Ctrl-C and sends it as a byte; its end is the end here
    serve_one(session, FileChannel(sys.stdin.fileno(), sys.stdout.fileno()))
