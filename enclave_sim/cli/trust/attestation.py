"""`enclave-sim attest`, `verify-evidence` and `reference-values`: evidence, its verdict, and reference values."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enclave_sim.cli.command import command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import common
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.tpm import chosen_tpm
from enclave_sim.cli.options.tpm import tpm as tpm_option
from enclave_sim.cli.options.types import DIRECTORY, FILE, NOT_NEGATIVE, Parsed
from enclave_sim.cli.output.written import STANDARD_OUTPUT, keep, save
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, read_file
from enclave_sim.files.writing import new_directory
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.text import one_line, printable
from enclave_sim.specification import Attestation

if TYPE_CHECKING:
    from enclave_sim.attestation import Evidence, Position, Verdict
    from enclave_sim.enclave.attester.capturing import CapturingVerifier
    from enclave_sim.enclave.attester.contract import Verifier
    from enclave_sim.enclave.enclave import Enclave

_NONCE_BYTES = 32
_POSITION_FORM = "RESETS:RESTARTS:CLOCK:CYCLE"
_POSITION = re.compile(r"[0-9]{1,20}(:[0-9]{1,20}){3}")
VERIFY_EXIT_CODES = """\b
Exit codes
  0  every check passed
  2  the command cannot be carried out, or the file is not evidence
 13  the evidence was refused
 70  a defect of the emulator or its firmware"""


def _nonce(text: str) -> bytes:
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != _NONCE_BYTES:
        raise ConfigurationError(f"{text!r} is not {_NONCE_BYTES} bytes in hexadecimal")
    return nonce


def _position(text: str) -> "Position":
    from enclave_sim.attestation import Position  # noqa: PLC0415

    if not _POSITION.fullmatch(text):
        raise ConfigurationError(f"{text!r} is not {_POSITION_FORM}, four numbers such as 3:0:81520:5")
    return Position(*map(int, text.split(":")))


_nonce_option = option(
    "--nonce",
    type=Parsed(_nonce, "hex"),
    metavar="HEX",
    required=True,
    help="The verifier's nonce: 32 bytes in hexadecimal.",
)


@contextmanager
def _enclave(
    payload: Sequence[str],
    configuration: EnclaveConfiguration,
    anchors: Sequence[Path],
    tpm: str,
    verifier: "Verifier | None" = None,
) -> "Iterator[Enclave]":
    """A scope with an enclave and its TPM."""
    names = common.or_default(payload, configuration.engine)
    trusted = (development_anchor(), *map(TrustAnchor.load, anchors))
    with chosen_tpm(tpm) as chosen:
        configured = chosen.configured(configuration)
        options = EnclaveOptions(configured, trust_anchors=trusted, verifier=verifier, tpm=chosen.backend)
        yield options.enclave(names, record=False)


def _measured_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare the options that change the measurements: `attest` and `reference-values` must have the same."""
    measured = (options.cycles, options.wake_ns, options.quantum_ns, options.arena_bytes)
    policy = (options.engine, options.verify, firmware_option, options.attestation, options.trust_anchor, tpm_option)
    for declare in reversed((*measured, *policy)):
        function = declare(function)
    return function


@command()
@common.payloads
@_nonce_option
@option(
    "--output", "-o", type=FILE, metavar="FILE", required=True, help="Evidence file to write; - is standard output."
)
@option("--cycle", type=NOT_NEGATIVE, metavar="N", default=0, help="The cycle to attest, 0 to --cycles minus 1.")
@option("--raw", type=DIRECTORY, metavar="DIR", help="Also write the TPM's structures to files in DIR, for tpm2-tools.")
@_measured_options
@options.configured
def attest(
    *,
    configuration: EnclaveConfiguration,
    payload: Sequence[str],
    nonce: bytes,
    output: Path,
    cycle: int,
    raw: Path | None,
    trust_anchor: Sequence[Path],
    tpm: str,
) -> None:
    """Boot the enclave and write its evidence for a cycle.

    Example: enclave-sim attest beacon --nonce $(openssl rand -hex 32) -o b.eat
    """
    from enclave_sim.attestation import EnvelopeKey  # noqa: PLC0415
    from enclave_sim.enclave.attester.capturing import CapturingVerifier  # noqa: PLC0415
    from enclave_sim.enclave.attester.tpm_events import tpm_seed  # noqa: PLC0415

    if configuration.attestation is Attestation.OFF:
        raise ConfigurationError("--attestation off makes no evidence; it must be record or require")
    if cycle >= configuration.cycles:
        # The cycle count is measured: with more cycles, the evidence would not match this configuration's reference
        # values.
        raise ConfigurationError(
            f"--cycle {cycle} is not run: cycles begin at 0, and there are {configuration.cycles} (--cycles)"
        )
    keep(dict.fromkeys(trust_anchor, "the trust anchor"), output)
    witness = CapturingVerifier(nonce, cycle)
    with _enclave(payload, configuration, trust_anchor, tpm, witness) as enclave:
        witness.on_evidence = enclave.machine.request_stop
        _run_until(enclave, witness)
    if witness.evidence is None:
        cause = enclave.block.cause
        raise ConfigurationError(f"the enclave ended before cycle {cycle}: {cause.name if cause else 'it stopped'}")
    key = EnvelopeKey.from_seed(tpm_seed(enclave.configuration.tpm_seed))
    structures = {} if raw is None else _raw(raw, witness.evidence)
    with new_directory(output.parent), new_directory(raw or output.parent):
        names = ", ".join(map(printable, common.or_default(payload, configuration.engine)))
        save(output, witness.evidence.encode(key), f"evidence for cycle {cycle} of {names}", structures)


def _run_until(enclave: "Enclave", witness: "CapturingVerifier") -> None:
    while witness.evidence is None and not enclave.dormant:
        enclave.advance()


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


@command(epilog=VERIFY_EXIT_CODES)
@click.argument("file", type=FILE, metavar="FILE", help="Evidence written by `attest`.")
@_nonce_option
@option(
    "--reference",
    type=FILE,
    metavar="FILE",
    multiple=True,
    required=True,
    help="Reference values; may be repeated: any of them may match.",
)
@option("--cycle", type=NOT_NEGATIVE, metavar="N", default=0, help="The cycle of the challenge.")
@option(
    "--after",
    type=Parsed(_position, "position"),
    metavar=_POSITION_FORM,
    help="Position of this node's last accepted evidence, as printed then: the new one must be later.",
)
@option("--post-quantum", is_flag=True, help="Require an ML-DSA-65 signature, too.")
@common.as_json
def verify_evidence(
    *,
    file: Path,
    nonce: bytes,
    reference: Sequence[Path],
    cycle: int,
    after: "Position | None",
    post_quantum: bool,
    as_json: bool,
) -> ExitCode:
    """Judge an evidence file. This needs only the file and reference values; nothing is booted.

    Example: enclave-sim verify-evidence b.eat --nonce HEX --reference beacon.json
    """
    from enclave_sim.attestation import (  # noqa: PLC0415
        ECDSA_P256,
        ML_DSA_65,
        Challenge,
        Evidence,
        EvidenceError,
        Policy,
        ReferenceValues,
        verify,
    )

    values = ReferenceValues()
    for path in reference:
        values = values.merge(ReferenceValues.load(path))
    challenge = Challenge(nonce, cycle, () if after is None else (after,))
    signatures = [ECDSA_P256, ML_DSA_65] if post_quantum else [ECDSA_P256]
    policy = Policy(signatures=frozenset(signatures))
    try:
        evidence = Evidence.decode(read_file(file, SMALL))
    except EvidenceError as error:
        raise EvidenceError(f"{file}: {error}") from None
    verdict = verify(evidence, challenge, values, policy)
    write(f"{json.dumps(verdict.to_json())}\n".encode() if as_json else _verdict_text(file, verdict))
    return ExitCode.OK if verdict.accepted else ExitCode.REFUSED


def _verdict_text(file: Path, verdict: "Verdict") -> bytes:
    from rich.console import Group  # noqa: PLC0415 - rich takes 50 ms
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from enclave_sim.cli.output.drawing import draw  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    for check in verdict.checks:
        mark = Text("passed", "green") if check.passed else Text("FAILED", "bold red")
        table.add_row(mark, Text(check.name), Text(one_line(check.message)))
    if verdict.accepted:
        table.add_row(Text("position", "dim"), Text(), Text(f"{verdict.position}"))
    word = Text("ACCEPTED", "bold green") if verdict.accepted else Text("REFUSED", "bold red")
    failed = ", ".join(check.name for check in verdict.checks if not check.passed)
    heading = Text.assemble(word, f"  {printable(str(file))}{f': {failed}' if failed else ''}")
    page = Group(heading, Text(), table)
    return draw(lambda _width, _unicode: page, whole_lines=True)


@command()
@common.payloads
@option("--output", "-o", type=FILE, metavar="FILE", help="Output file. Default: standard output.")
@option("--merge", type=FILE, metavar="FILE", multiple=True, help="Reference values to include; may be repeated.")
@_measured_options
@options.configured
def reference_values(
    *,
    configuration: EnclaveConfiguration,
    payload: Sequence[str],
    output: Path | None,
    merge: Sequence[Path],
    trust_anchor: Sequence[Path],
    tpm: str,
) -> None:
    """Write what a verifier needs to accept a node: digests of everything measured, and names of its keys.

    They are computed from the images; nothing is run.

    Example: enclave-sim reference-values beacon --cycles 3 -o beacon.json
    """
    from enclave_sim.attestation import ReferenceValues  # noqa: PLC0415

    goal = output or STANDARD_OUTPUT
    keep(dict.fromkeys(trust_anchor, "the trust anchor"), goal)
    with _enclave(payload, configuration, trust_anchor, tpm) as enclave:
        values: ReferenceValues = enclave.reference_values()
    for path in merge:
        values = values.merge(ReferenceValues.load(path))
    save(goal, values.to_json())
