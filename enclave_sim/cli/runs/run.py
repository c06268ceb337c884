"""`enclave-sim run`: boot the enclave, run payloads, show what happened.

Only what the command line needs is imported here: the machine and the guest engine are loaded when a run begins, rich
when there is something to draw.
"""

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cli.exit_codes import ExitCode, of_run
from enclave_sim.cli.options.common import DEFAULT_FLAT_PAYLOAD, DEFAULT_PAYLOAD, Payloads, number, write
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.run import (
    POLICY,
    TIME,
    Anchors,
    ArenaBytes,
    AttestationPolicy,
    Cycles,
    Engine,
    Features,
    HostLimit,
    Inputs,
    NsPerInstruction,
    Portable,
    PostQuantum,
    Production,
    QuantumNs,
    References,
    Sensor0,
    Sensor1,
    WakeNs,
    read_references,
)
from enclave_sim.cli.options.tpm import Tpm, chosen_tpm
from enclave_sim.cli.output.progress import terminal_of
from enclave_sim.cli.output.watch import Watch
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError, KernelDied
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.text import one_line
from enclave_sim.specification import EngineName

if TYPE_CHECKING:
    from enclave_sim.inputs import AnyInput
    from enclave_sim.recording.outcome.summary import RunResult

_DEFAULTS = EnclaveConfiguration()
EXIT_CODES = """\b
[bold]Exit codes[/bold]; the highest one that applies
  0  the payload completed, or shredded itself
  2  usage error: an invalid option, file or key
  3  payload rejected
  4  guest fault
  5  kernel fault, tampering, or attestation refused
  6  virtual time reached --limit-ns
  7  residue: something was left in RAM
 14  a memory fault among --inputs ended the kernel
 16  the host-time limit --host-limit expired
 70  a defect of the emulator or its firmware"""


_OUTPUT = "Output"


def run(
    payload: Payloads = None,
    *,
    cycles: Cycles = 1,
    wake_ns: WakeNs = _DEFAULTS.wake_ns,
    quantum_ns: QuantumNs = _DEFAULTS.quantum_ns,
    limit_ns: Annotated[
        int | None,
        typer.Option(parser=number, metavar="NS", help="Stop at this virtual time.", rich_help_panel=TIME),
    ] = None,
    host_limit: HostLimit = None,
    ns_per_instruction: NsPerInstruction = 1,
    arena_bytes: ArenaBytes = None,
    sensor0: Sensor0 = 0,
    sensor1: Sensor1 = 0,
    inputs: Inputs = None,
    portable: Portable = False,
    engine: Engine = EngineName.WASMTIME,
    production: Production = False,
    trust_anchor: Anchors = None,
    attestation: AttestationPolicy = _DEFAULTS.attestation,
    post_quantum: PostQuantum = False,
    tpm: Tpm = "model",
    verifier: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Verifier to ask for nonces and verdicts, instead of the built-in one.",
            rich_help_panel=POLICY,
        ),
    ] = None,
    verifier_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates that vouch for an https verifier.", rich_help_panel=POLICY),
    ] = None,
    reference: References = None,
    feature: Features = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write every event to FILE, as JSON Lines; it appears when the run is over.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print one line: outcome and digest.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Boot the enclave, run a payload in ring 3, and watch the enclave annihilate itself.

    All times are virtual nanoseconds: the same command gives the same run, and the same digest, everywhere.

    Example: enclave-sim run counter --cycles 3 --record counter.jsonl
    """
    if as_json and quiet:
        raise ConfigurationError("--json and --quiet exclude each other")
    if limit_ns is not None and limit_ns < 1:
        raise ConfigurationError(f"--limit-ns is {limit_ns}; it must be at least 1")
    if verifier is not None and reference:
        raise ConfigurationError("--reference is for the built-in verifier; --verifier asks another one")
    names = payload or [DEFAULT_PAYLOAD if engine is EngineName.WASMTIME else DEFAULT_FLAT_PAYLOAD]
    watch = Watch(cycles, None if quiet else terminal_of(sys.stderr))
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
        configuration,
        trust_anchors=(development_anchor(), *map(TrustAnchor.load, trust_anchor or ())),
        reference=read_references(reference or ()),
        portable=portable,
    )
    with limited(host_limit), chosen_tpm(tpm) as chosen:
        options = replace(options, configuration=chosen.configured(configuration), tpm=chosen.backend)
        if verifier is not None:
            from enclave_sim.enclave.attester.remote import RemoteVerifier  # noqa: PLC0415

            remote = RemoteVerifier(verifier, verifier_ca, options.configuration.tpm_seed)
            options = replace(options, verifier=remote)
        result = _run(names, options, taken, limit_ns=limit_ns, record=record, watch=watch)
    if as_json:
        write(f"{result.to_json()}\n".encode())
    elif quiet:
        write(f"{result.outcome} {result.digest}\n".encode())
    else:
        from enclave_sim.cli.output.render import Presentation, render  # noqa: PLC0415 - rich takes 50 ms

        presentation = Presentation(tuple(names), cycles, frozenset(watch.status_words), record)
        write(render(result, presentation))
    raise typer.Exit(of_run(result))


def _read_inputs(path: Path, engine: EngineName) -> "tuple[AnyInput, ...]":
    from enclave_sim.enclave.inputs.script import read_inputs  # noqa: PLC0415

    return read_inputs(path, engine)


def _run(
    names: list[str],
    options: EnclaveOptions,
    inputs: "tuple[AnyInput, ...]",
    *,
    limit_ns: int | None,
    record: Path | None,
    watch: Watch,
) -> "RunResult":
    from enclave_sim.recording.writer import RecordingWriter  # noqa: PLC0415

    with nullcontext() if record is None else RecordingWriter.open(record) as writer:
        enclave = options.enclave(names, inputs=inputs, recorder=watch, record=False, writer=writer)
        try:
            with watch.running():
                return enclave.run(limit_ns)
        except KernelDied as error:
            typer.echo(f"error: {one_line(str(error))}", err=True)
            raise typer.Exit(ExitCode.DEFECT) from None
