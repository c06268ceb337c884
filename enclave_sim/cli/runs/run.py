"""`enclave-sim run`: boot the enclave, run payloads, show the result.

Only what the command line needs is imported here: the machine and the guest engine are loaded when a run begins, rich
to draw the page.
"""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from enclave_sim.cli.command import MACHINE, OUTPUT, POLICY, command, option
from enclave_sim.cli.exit_codes import ExitCode, of_run
from enclave_sim.cli.options import common, kernel
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.common import write
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.host_limit import host_limit as host_limit_option
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.tpm import chosen_tpm
from enclave_sim.cli.options.tpm import tpm as tpm_option
from enclave_sim.cli.options.types import FILE, POSITIVE_TIME, TEXT
from enclave_sim.cli.output.progress import terminal_of
from enclave_sim.cli.output.watch import Watch
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.keys import TrustAnchor, development_anchor

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from enclave_sim.inputs import AnyInput
    from enclave_sim.recording.outcome.summary import RunResult
    from enclave_sim.recording.writer import RecordingWriter

EXIT_CODES = """\b
Exit codes; the highest one that applies
  0  the payload completed, or called shred_self
  2  usage error: an invalid option, file or key
  3  payload rejected
  4  guest fault
  5  kernel fault, tampering, or attestation refused
  6  virtual time reached --limit-ns
  7  residue: data was left in RAM
 14  the kernel stopped, by a memory fault or a mistake of its own
 16  the host-time limit --host-limit expired
 70  a defect of the emulator or its firmware"""


@command(epilog=EXIT_CODES)
@common.payloads
@options.cycles
@options.wake_ns
@options.quantum_ns
@option("--limit-ns", type=POSITIVE_TIME, metavar="TIME", help="Stop at this virtual time.", heading=MACHINE)
@host_limit_option
@kernel.ns_per_instruction
@options.arena_bytes
@options.sensor0
@options.sensor1
@options.inputs
@kernel.portable
@options.engine
@options.verify
@firmware_option
@options.production
@options.trust_anchor
@options.attestation
@options.post_quantum
@tpm_option
@option(
    "--verifier",
    type=TEXT,
    metavar="URL",
    help="Verifier to use instead of the built-in one.",
    heading=POLICY,
)
@option(
    "--verifier-ca",
    type=FILE,
    metavar="FILE",
    help="CA certificates for an https verifier.",
    heading=POLICY,
)
@options.reference
@options.feature
@option(
    "--record",
    type=FILE,
    metavar="FILE",
    help="Write every event to FILE, as JSON Lines; it appears at the end of the run.",
    heading=OUTPUT,
)
@options.trace_memory
@option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.", heading=OUTPUT)
@option("--quiet", "-q", is_flag=True, help="Print one line: outcome and digest.", heading=OUTPUT)
@options.configured
def run(
    *,
    configuration: EnclaveConfiguration,
    payload: Sequence[str],
    limit_ns: int | None,
    host_limit: float | None,
    inputs: Path | None,
    portable: bool,
    trust_anchor: Sequence[Path],
    tpm: str,
    verifier: str | None,
    verifier_ca: Path | None,
    reference: Sequence[Path],
    record: Path | None,
    as_json: bool,
    quiet: bool,
) -> ExitCode:
    """Boot the enclave, run a payload in ring 3, and watch the enclave annihilate itself.

    Times are virtual: nanoseconds, or with a unit, such as 1ms. The same command gives the same run, and the same
    digest, everywhere.

    Example: enclave-sim run counter --cycles 3 --record counter.jsonl
    """
    if as_json and quiet:
        raise ConfigurationError("--json and --quiet exclude each other")
    if verifier is not None and reference:
        raise ConfigurationError("--reference is for the built-in verifier; --verifier asks another one")
    if verifier is None and verifier_ca is not None:
        raise ConfigurationError("--verifier-ca is for a verifier elsewhere, which --verifier names")
    if record is None and configuration.trace_memory is not None:
        raise ConfigurationError("--trace-memory is for --record, which writes its events to a file")
    names = common.or_default(payload, configuration.engine)
    watch = Watch(configuration.cycles, None if quiet else terminal_of(sys.stderr))
    taken = options.read_given_inputs(inputs, configuration.engine)
    chosen_options = EnclaveOptions(
        configuration,
        trust_anchors=(development_anchor(), *map(TrustAnchor.load, trust_anchor)),
        reference=options.read_references(reference),
        portable=portable,
    )
    with limited(host_limit), chosen_tpm(tpm) as chosen:
        chosen_options = msgspec.structs.replace(
            chosen_options, configuration=chosen.configured(configuration), tpm=chosen.backend
        )
        if verifier is not None:
            from enclave_sim.enclave.attester.remote import RemoteVerifier  # noqa: PLC0415

            remote = RemoteVerifier(verifier, verifier_ca, chosen_options.configuration.tpm_seed)
            chosen_options = msgspec.structs.replace(chosen_options, verifier=remote)
        result = _run(names, chosen_options, taken, limit_ns=limit_ns, record=record, watch=watch)
    if as_json:
        write(f"{result.to_json()}\n".encode())
    elif quiet:
        write(f"{result.outcome} {result.digest}\n".encode())
    else:
        from enclave_sim.cli.output.render import Presentation, render  # noqa: PLC0415 - rich takes 50 ms

        presentation = Presentation(tuple(names), configuration.cycles, frozenset(watch.status_words), record)
        if configuration.firmware is not None:
            presentation = replace(presentation, firmware=_named(configuration.firmware.path))
        write(render(result, presentation))
    return of_run(result)


def _named(image: Path) -> str:
    """Return the path of a kernel as a person gives it: from the working directory, if it is there."""
    here = Path.cwd()
    return str(image.relative_to(here) if image.is_relative_to(here) else image)


def _recording_to(path: Path) -> "AbstractContextManager[RecordingWriter]":
    from enclave_sim.cli.runs.recording import recording_to  # noqa: PLC0415

    return recording_to(path)


def _run(
    names: list[str],
    options: EnclaveOptions,
    inputs: "tuple[AnyInput, ...]",
    *,
    limit_ns: int | None,
    record: Path | None,
    watch: Watch,
) -> "RunResult":
    with nullcontext() if record is None else _recording_to(record) as writer:
        enclave = options.enclave(names, inputs=inputs, recorder=watch, record=False, writer=writer)
        with watch.running():
            return enclave.run(limit_ns)
