"""`enclave-sim attest`, `verify-evidence` and `reference-values`: evidence, its verdict, and reference values."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import DEFAULT_FLAT_PAYLOAD, DEFAULT_PAYLOAD, Payloads, number, write
from enclave_sim.cli.options.run import Anchors, AttestationPolicy, Cycles, Engine, QuantumNs, WakeNs
from enclave_sim.cli.options.tpm import Tpm, chosen_tpm
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError, KernelDied
from enclave_sim.files.reading import SMALL, read_file
from enclave_sim.files.writing import new_directory, write_files
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.text import one_line, printable
from enclave_sim.specification import Attestation, EngineName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclave_sim.attestation import Evidence, Verdict
    from enclave_sim.enclave.attester.capturing import CapturingVerifier
    from enclave_sim.enclave.attester.contract import Verifier
    from enclave_sim.enclave.enclave import Enclave

_DEFAULTS = EnclaveConfiguration()
_NONCE_BYTES = 32
VERIFY_EXIT_CODES = """\b
[bold]Exit codes[/bold]
  0  every check passed
  2  the command cannot be carried out, or the file is not evidence
 13  the evidence is refused"""

NonceText = Annotated[str, typer.Option(metavar="HEX", help="The verifier's nonce: 32 bytes in hexadecimal.")]


@contextmanager
def _enclave(
    payload: list[str] | None,
    configuration: EnclaveConfiguration,
    anchors: list[Path] | None,
    tpm: str,
    verifier: "Verifier | None" = None,
) -> "Iterator[Enclave]":
    """A scope with an enclave and its TPM."""
    names = payload or [_default(configuration.engine)]
    trusted = (development_anchor(), *map(TrustAnchor.load, anchors or ()))
    with chosen_tpm(tpm) as chosen:
        configured = chosen.configured(configuration)
        options = EnclaveOptions(configured, trust_anchors=trusted, verifier=verifier, tpm=chosen.backend)
        yield options.enclave(names, record=False)


def _default(engine: EngineName) -> str:
    return DEFAULT_PAYLOAD if engine is EngineName.WASMTIME else DEFAULT_FLAT_PAYLOAD


def attest(
    payload: Payloads = None,
    *,
    nonce: NonceText,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Evidence file to write.")],
    cycle: Annotated[int, typer.Option(parser=number, metavar="N", help="The cycle to attest to.")] = 0,
    raw: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write the TPM's structures to files in DIR, for tpm2-tools."),
    ] = None,
    cycles: Cycles = 1,
    wake_ns: WakeNs = _DEFAULTS.wake_ns,
    quantum_ns: QuantumNs = _DEFAULTS.quantum_ns,
    engine: Engine = EngineName.WASMTIME,
    attestation: AttestationPolicy = Attestation.RECORD,
    trust_anchor: Anchors = None,
    tpm: Tpm = "model",
) -> None:
    """Boot the enclave and write its evidence for a cycle.

    Example: enclave-sim attest beacon --nonce $(openssl rand -hex 32) -o beacon.eat --raw quote/
    """
    from enclave_sim.attestation import EnvelopeKey  # noqa: PLC0415
    from enclave_sim.enclave.attester.capturing import CapturingVerifier  # noqa: PLC0415
    from enclave_sim.enclave.attester.tpm_events import tpm_seed  # noqa: PLC0415

    if attestation is Attestation.OFF:
        raise ConfigurationError("--attestation off makes no evidence; it must be record or require")
    witness = CapturingVerifier(_nonce(nonce), cycle)
    configuration = EnclaveConfiguration(
        cycles=max(cycles, cycle + 1), wake_ns=wake_ns, quantum_ns=quantum_ns, attestation=attestation, engine=engine
    )
    with _enclave(payload, configuration, trust_anchor, tpm, witness) as enclave:
        witness.on_evidence = enclave.machine.request_stop
        _run_until(enclave, witness)
    if witness.evidence is None:
        cause = enclave.block.cause
        raise ConfigurationError(f"the enclave ended before cycle {cycle}: {cause.name if cause else 'it stopped'}")
    key = EnvelopeKey.from_seed(tpm_seed(enclave.configuration.tpm_seed))
    structures = {} if raw is None else _raw(raw, witness.evidence)
    with new_directory(output.parent), new_directory(raw or output.parent):
        write_files({output: witness.evidence.encode(key), **structures})
    names = payload or [_default(engine)]
    write(f"evidence for cycle {cycle} of {', '.join(map(printable, names))}: {printable(str(output))}\n".encode())


def _run_until(enclave: "Enclave", witness: "CapturingVerifier") -> None:
    try:
        while witness.evidence is None and not enclave.dormant:
            enclave.advance()
    except KernelDied as error:
        typer.echo(f"error: {one_line(str(error))}", err=True)
        raise typer.Exit(ExitCode.DEFECT) from None


def _raw(directory: Path, evidence: "Evidence") -> dict[Path, bytes]:
    """Return the TPM's structures by the names of their files."""
    from enclave_sim.attestation import public_pem  # noqa: PLC0415

    files = {}
    for quote, name in zip(evidence.quotes, ("p256", "mldsa65"), strict=False):
        files[f"{name}.attest"] = quote.attest
        files[f"{name}.signature"] = quote.signature
        files[f"{name}.public"] = quote.public
        files[f"{name}.pem"] = public_pem(quote.public)
    files["event.log"] = evidence.event_log
    files["qualification.hex"] = (evidence.nonce + evidence.cycle.to_bytes(4, "big")).hex().encode()
    return {directory / name: data for name, data in files.items()}


def _nonce(text: str) -> bytes:
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != _NONCE_BYTES:
        raise ConfigurationError(f"nonce {text!r} is not {_NONCE_BYTES} bytes in hexadecimal")
    return nonce


def verify_evidence(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Evidence, as `attest` writes it.")],
    *,
    nonce: NonceText,
    reference: Annotated[
        list[Path], typer.Option(metavar="FILE", help="Reference values; may be repeated: any of them may match.")
    ],
    cycle: Annotated[int, typer.Option(parser=number, metavar="N", help="The cycle that was challenged.")] = 0,
    after: Annotated[
        str | None,
        typer.Option(metavar="RESETS:CYCLE", help="Last accepted evidence of this node: the new one must be later."),
    ] = None,
    post_quantum: Annotated[bool, typer.Option("--post-quantum", help="Require the ML-DSA-65 signature, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Judge an evidence file. This needs only the file and reference values; nothing is booted.

    Example: enclave-sim verify-evidence beacon.eat --nonce HEX --reference beacon.json
    """
    from enclave_sim.attestation import (  # noqa: PLC0415
        ECDSA_P256,
        ML_DSA_65,
        Challenge,
        Evidence,
        Policy,
        ReferenceValues,
        verify,
    )

    values = ReferenceValues()
    for path in reference:
        values = values.merge(ReferenceValues.load(path))
    challenge = Challenge(_nonce(nonce), cycle, None if after is None else _later_than(after))
    signatures = [ECDSA_P256, ML_DSA_65] if post_quantum else [ECDSA_P256]
    policy = Policy(signatures=frozenset(signatures))
    verdict = verify(Evidence.decode(read_file(file, SMALL)), challenge, values, policy)
    write(f"{json.dumps(verdict.to_json())}\n".encode() if as_json else _verdict_text(file, verdict))
    raise typer.Exit(ExitCode.OK if verdict.accepted else ExitCode.REFUSED)


def _later_than(text: str) -> tuple[int, int]:
    resets, colon, cycle = text.partition(":")
    if not (colon and resets.isdecimal() and cycle.isdecimal()):
        raise ConfigurationError(f"--after {text!r} is not RESETS:CYCLE, two numbers such as 3:0")
    return int(resets), int(cycle)


def _verdict_text(file: Path, verdict: "Verdict") -> bytes:
    from rich.console import Group  # noqa: PLC0415 - rich takes 50 ms
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from enclave_sim.cli.output.drawing import draw  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    for check in verdict.checks:
        mark = Text("passed", "green") if check.passed else Text("FAILED", "bold red")
        table.add_row(mark, Text(check.name), Text(one_line(check.message)))
    word = Text("ACCEPTED", "bold green") if verdict.accepted else Text("REFUSED", "bold red")
    return draw(lambda _width, _unicode: Group(Text.assemble(word, f"  {printable(str(file))}"), Text(), table))


def reference_values(
    payload: Payloads = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Output file. Default: standard output.")
    ] = None,
    merge: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Reference values to include; may be repeated.")
    ] = None,
    cycles: Cycles = 1,
    wake_ns: WakeNs = _DEFAULTS.wake_ns,
    quantum_ns: QuantumNs = _DEFAULTS.quantum_ns,
    engine: Engine = EngineName.WASMTIME,
    attestation: AttestationPolicy = Attestation.RECORD,
    trust_anchor: Anchors = None,
    tpm: Tpm = "model",
) -> None:
    """Write what a verifier needs to accept a node: digests of all that is measured, and names of its keys.

    They are computed from the images; nothing is run.

    Example: enclave-sim reference-values beacon --cycles 3 -o beacon.json
    """
    from enclave_sim.attestation import ReferenceValues  # noqa: PLC0415

    configuration = EnclaveConfiguration(
        cycles=cycles, wake_ns=wake_ns, quantum_ns=quantum_ns, attestation=attestation, engine=engine
    )
    with _enclave(payload, configuration, trust_anchor, tpm) as enclave:
        values: ReferenceValues = enclave.reference_values()
    for path in merge or ():
        values = values.merge(ReferenceValues.load(path))
    if output is None:
        write(values.to_json())
    else:
        values.save(output)
