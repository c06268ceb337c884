"""`enclave-sim inspect`: see the machine, and step a run in both directions, in the terminal or a browser."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cancellation import Cancellation
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import applicability, kernel
from enclave_sim.cli.options.applicability import KERNEL, PAYLOADS, RECORDING
from enclave_sim.cli.options.common import DEFAULT_FLAT_PAYLOAD, DEFAULT_PAYLOAD, number
from enclave_sim.cli.options.run import (
    POLICY,
    Anchors,
    Append,
    ArenaBytes,
    AttestationPolicy,
    Cycles,
    Engine,
    Features,
    FwCfg,
    Inputs,
    Modules,
    NsPerInstruction,
    Portable,
    PostQuantum,
    Production,
    QuantumNs,
    RamSize,
    References,
    Sensor0,
    Sensor1,
    WakeNs,
    kernel_options,
    read_references,
)
from enclave_sim.cli.options.tpm import chosen_tpm
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError, KernelDied
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.text import one_line
from enclave_sim.specification import EngineName

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
    from enclave_sim.inputs import AnyInput
    from enclave_sim.inspector.session.sources import Source

_DEFAULTS = EnclaveConfiguration()
_PORT = 8000
EXIT_CODES = """\b
[bold]Exit codes[/bold]
  0  the user quit
  2  an invalid option or file, or there is no terminal
 70  a defect of the emulator or its firmware"""
_WEB, _RECORDING = "In the browser", "Recordings"
_OWN = {
    **applicability.KERNELS,
    **dict.fromkeys(("ns_per_instruction", "portable"), (KERNEL, PAYLOADS)),
    **dict.fromkeys(("what", "web", "port", "host"), (KERNEL, PAYLOADS, RECORDING)),
    "payload": (RECORDING,),
}


def inspect(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAYLOAD|RECORDING|IMAGE",
            help=f"Payloads to run, a recording, or a Multiboot kernel. Default: {DEFAULT_PAYLOAD}",
            show_default=False,
        ),
    ] = None,
    *,
    cycles: Cycles = 1,
    wake_ns: WakeNs = _DEFAULTS.wake_ns,
    quantum_ns: QuantumNs = _DEFAULTS.quantum_ns,
    arena_bytes: ArenaBytes = None,
    sensor0: Sensor0 = 0,
    sensor1: Sensor1 = 0,
    inputs: Inputs = None,
    ns_per_instruction: NsPerInstruction = 1,
    portable: Portable = False,
    engine: Engine = EngineName.WASMTIME,
    production: Production = False,
    trust_anchor: Anchors = None,
    attestation: AttestationPolicy = _DEFAULTS.attestation,
    post_quantum: PostQuantum = False,
    tpm: Annotated[
        str,
        typer.Option(
            metavar="TPM",
            help="[b]model[/b], or [b]model:FILE[/b], which keeps its keys and number of resets in FILE.",
            rich_help_panel=POLICY,
        ),
    ] = "model",
    reference: References = None,
    feature: Features = None,
    payload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Payload, kernel or module that the recording does not embed; may be repeated.",
            rich_help_panel=_RECORDING,
        ),
    ] = None,
    append: Append = "",
    module: Modules = None,
    ram: RamSize = kernel.RAM,
    fw_cfg: FwCfg = None,
    web: Annotated[bool, typer.Option("--web", help="Serve the inspector to browsers.", rich_help_panel=_WEB)] = False,
    port: Annotated[
        int, typer.Option(parser=number, metavar="N", help="Port to serve on.", rich_help_panel=_WEB)
    ] = _PORT,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to serve on. Anyone who can reach it controls the inspector.",
            rich_help_panel=_WEB,
        ),
    ] = "127.0.0.1",
) -> None:
    """Step a run in both directions, and see the whole machine.

    Press ? for the keys. A recording is replayed, and compared with what was recorded.

    Your own kernel runs on the bare machine, as with enclave-sim boot.

    Example: enclave-sim inspect counter --cycles 3
    """
    _require_textual()
    names = tuple(what or [DEFAULT_PAYLOAD if engine is EngineName.WASMTIME else DEFAULT_FLAT_PAYLOAD])
    taken = () if inputs is None else _read_inputs(inputs, engine)
    configuration = EnclaveConfiguration(
        cycles=cycles,
        wake_ns=wake_ns,
        quantum_ns=quantum_ns,
        arena_bytes=arena_bytes,
        sensors=(sensor0, sensor1),
        attestation=attestation,
        post_quantum=post_quantum,
        production=production,
        features=frozenset(feature or ()),
        ns_per_instruction=ns_per_instruction,
        engine=engine,
    )
    options = EnclaveOptions(
        _with_model(configuration, tpm),
        trust_anchors=(development_anchor(), *map(TrustAnchor.load, trust_anchor or ())),
        reference=read_references(reference or ()),
        portable=portable,
    )
    kernel = kernel_options(append, module, ram, fw_cfg)
    kernel = replace(kernel, ns_per_instruction=ns_per_instruction, portable=portable)
    source = _source(names, options, taken, tuple(payload or ()), kernel)
    applicability.check(context, source.kind, _OWN)
    if web:
        from enclave_sim.inspector.serving.web import command_of, serve  # noqa: PLC0415

        serve(command_of(sys.argv[1:]), host, port)
    else:
        _show(source)


def _require_textual() -> None:
    try:
        import textual  # noqa: F401, PLC0415 - only to see whether it is installed
    except ImportError:
        raise ConfigurationError("the inspector needs textual: pip install 'enclave-sim[inspector]'") from None


def _read_inputs(path: Path, engine: EngineName) -> "tuple[AnyInput, ...]":
    from enclave_sim.enclave.inputs.script import read_inputs  # noqa: PLC0415

    return read_inputs(path, engine)


def _with_model(configuration: EnclaveConfiguration, text: str) -> EnclaveConfiguration:
    """Return the configuration with the chosen TPM model. Any other TPM keeps state that cannot be restored."""
    if text.partition(":")[0] != "model":
        raise ConfigurationError(f"--tpm {text!r} cannot be stepped back; inspect takes model or model:FILE")
    with chosen_tpm(text) as chosen:
        return chosen.configured(configuration)


def _source(
    names: tuple[str, ...],
    options: EnclaveOptions,
    inputs: "tuple[AnyInput, ...]",
    payloads: tuple[str, ...],
    kernel: "KernelOptions",
) -> "Source":
    """Return what to inspect. It is checked as far as that is quick, so that a wrong name is one line and no screen."""
    from enclave_sim.inspector.session.sources import EnclaveSource, KernelSource, source_of  # noqa: PLC0415

    source = source_of(names, options, inputs, payloads, kernel)
    if isinstance(source, EnclaveSource):
        from enclave_sim.enclave.configuration import read_payloads  # noqa: PLC0415

        read_payloads(names, options.configuration.engine)
    elif isinstance(source, KernelSource):
        source.open(Cancellation())
    return source


def _show(source: "Source") -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and not _is_served():
        raise ConfigurationError("inspect needs a terminal; --web serves it to a browser")
    from enclave_sim.inspector.app import Inspector  # noqa: PLC0415

    app = Inspector(source.open)
    app.run()
    if isinstance(app.desk.broken, KernelDied):
        typer.echo(f"error: {one_line(str(app.desk.broken))}", err=True)
        raise typer.Exit(ExitCode.DEFECT)
    if app.desk.broken is not None:
        raise app.desk.broken


def _is_served() -> bool:
    """Return whether a web server has started this process and draws its output."""
    import os  # noqa: PLC0415

    return "TEXTUAL_DRIVER" in os.environ
