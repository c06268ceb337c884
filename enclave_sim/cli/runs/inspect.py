"""`enclave-sim inspect`: show the machine, and step a run in both directions, in a terminal or a browser."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from enclave_sim.cancellation import Cancellation
from enclave_sim.cli.command import POLICY, command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import applicability, common, kernel
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.applicability import KERNEL, PAYLOADS, RECORDING
from enclave_sim.cli.options.firmware import firmware as firmware_option
from enclave_sim.cli.options.place import at as at_option
from enclave_sim.cli.options.place import go_to_place
from enclave_sim.cli.options.tpm import chosen_tpm
from enclave_sim.cli.options.types import FILE, PORT, Choice
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError, installing
from enclave_sim.inspector.syntax import Syntax
from enclave_sim.payload.keys import TrustAnchor, development_anchor

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
    from enclave_sim.inputs import AnyInput
    from enclave_sim.inspector.session.sources import Opened, Source
    from enclave_sim.time_travel.link import Link

_PORT = 8000
LAB = "enclave_sim.inspect.lab"
"""The key of the task of a lab in the context of the command line, if one is open."""
EXIT_CODES = """\b
Exit codes
  0  the user quit
  2  an invalid option or file, or there is no terminal
 70  a defect of the emulator or its firmware"""
_WEB, _SCREEN = "In the browser", "On the screen"
_OWN = {
    **applicability.KERNELS,
    **dict.fromkeys(("ns_per_instruction", "portable"), (KERNEL, PAYLOADS)),
    **dict.fromkeys(("what", "at", "bookmarks", "syntax", "web", "port", "host"), (KERNEL, PAYLOADS, RECORDING)),
    "payload": (RECORDING,),
    "firmware": (PAYLOADS, RECORDING),
    "serial": (KERNEL,),
}


@command(epilog=EXIT_CODES)
@click.argument(
    "what",
    nargs=-1,
    metavar="[PAYLOAD|RECORDING|IMAGE]...",
    shell_complete=common.complete_payload,
    help=f"Payloads to run, a recording, or a Multiboot kernel. Default: {common.DEFAULT_PAYLOAD}",
)
@options.cycles
@options.wake_ns
@options.quantum_ns
@options.arena_bytes
@options.sensor0
@options.sensor1
@options.inputs
@kernel.ns_per_instruction
@kernel.portable
@options.engine
@options.verify
@firmware_option
@options.production
@options.trust_anchor
@options.attestation
@options.post_quantum
@option(
    "--tpm",
    metavar="TPM",
    default="model",
    help="model, or model:FILE, which keeps its keys and number of resets in FILE.",
    heading=POLICY,
)
@options.reference
@options.feature
@options.payload
@kernel.append
@kernel.module
@kernel.ram
@kernel.fw_cfg
@kernel.serial
@at_option
@option(
    "--bookmarks",
    type=FILE,
    metavar="FILE",
    help="Keep the marked moments in FILE: one link a line.",
    heading="Links",
)
@option(
    "--syntax",
    metavar="SYNTAX",
    type=Choice(Syntax),
    default=Syntax.INTEL.value,
    help="Syntax of assembly: intel, as in the manuals, or att, as in the kernel's sources.",
    heading=_SCREEN,
)
@option("--web", is_flag=True, help="Serve the inspector to browsers.", heading=_WEB)
@option("--port", type=PORT, metavar="N", default=_PORT, help="Port to serve on; 0 picks a free one.", heading=_WEB)
@option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    help="Address to serve on. Anyone who can reach it controls the inspector.",
    heading=_WEB,
)
@options.configured
def inspect(
    *,
    configuration: EnclaveConfiguration,
    what: Sequence[str],
    inputs: Path | None,
    portable: bool,
    trust_anchor: Sequence[Path],
    tpm: str,
    reference: Sequence[Path],
    payload: Sequence[str],
    append: str,
    module: Sequence[tuple[bytes, str]],
    ram: int,
    fw_cfg: Sequence[tuple[str, bytes]],
    serial: str | None,
    at: "Link | int | None",
    bookmarks: Path | None,
    syntax: Syntax,
    web: bool,
    port: int,
    host: str,
) -> ExitCode:
    """Step a run in both directions, and see the complete machine.

    Press ? for the keys. A recording is replayed and compared.

    Your own kernel runs on the bare machine, as with enclave-sim boot.

    Example: enclave-sim inspect counter --cycles 3
    """
    for name in ("port", "host"):
        given = click.get_current_context().get_parameter_source(name)
        if given is click.core.ParameterSource.COMMANDLINE and not web:
            raise ConfigurationError(f"--{name} is for --web, which serves the inspector to browsers")
    _require_textual()
    if bookmarks is not None:
        from enclave_sim.inspector.bookmark_file import read_bookmarks  # noqa: PLC0415

        read_bookmarks(bookmarks)
    names = tuple(common.or_default(what, configuration.engine))
    taken = options.read_given_inputs(inputs, configuration.engine)
    chosen = EnclaveOptions(
        _with_model(configuration, tpm),
        trust_anchors=(development_anchor(), *map(TrustAnchor.load, trust_anchor)),
        reference=options.read_references(reference),
        portable=portable,
    )
    bare = kernel.kernel_options(append, module, ram, fw_cfg)
    bare = msgspec.structs.replace(bare, ns_per_instruction=configuration.ns_per_instruction, portable=portable)
    if serial is not None:
        bare = msgspec.structs.replace(bare, typed=_typed(serial))
    source = _source(names, chosen, taken, tuple(payload), bare)
    applicability.check(source.kind, _OWN)
    if web:
        from enclave_sim.inspector.serving.web import command_of, serve  # noqa: PLC0415

        serve(command_of(sys.argv[1:]), host, port)
        return ExitCode.OK
    return _show(source, syntax, at, bookmarks)


def _typed(serial: str) -> tuple[tuple[int, bytes], ...]:
    if serial == "stdio":
        raise ConfigurationError(
            "--serial stdio: the keys are the inspector's; type in boot --serial stdio --record FILE and give FILE"
        )
    from enclave_sim.cli.runs.boot_serial import recorded  # noqa: PLC0415

    return recorded(serial)


def _require_textual() -> None:
    try:
        import textual  # noqa: F401, PLC0415 - only to see whether it is installed
    except ImportError:
        raise ConfigurationError(f"the inspector needs textual: {installing('inspector')}") from None


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
    """Return the subject to inspect.

    Quick checks come first, so that a wrong name is a one-line error before the screen opens.
    """
    from enclave_sim.inspector.session.sources import (  # noqa: PLC0415
        EnclaveSource,
        KernelSource,
        RecordingSource,
        source_of,
    )
    from enclave_sim.recording.reader import RecordingFile  # noqa: PLC0415

    source = source_of(names, options, inputs, payloads, kernel)
    if isinstance(source, RecordingSource):
        RecordingFile(source.path)
    elif isinstance(source, EnclaveSource):
        from enclave_sim.enclave.configuration import read_payloads  # noqa: PLC0415

        read_payloads(names, options.configuration.engine)
    elif isinstance(source, KernelSource):
        source.open(Cancellation())
    return source


def _show(source: "Source", syntax: Syntax, at: "Link | int | None", bookmarks: Path | None) -> ExitCode:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and not _is_served():
        raise ConfigurationError("inspect needs a terminal; --web serves it to a browser")
    if _is_served():
        from enclave_sim.inspector.serving.server_watch import end_with_server  # noqa: PLC0415

        end_with_server()
    from enclave_sim.inspector.app import Inspector  # noqa: PLC0415

    def opened(cancellation: Cancellation) -> "Opened":
        found = source.open(cancellation)
        go_to_place(found.run, at)
        return found

    lab = click.get_current_context().meta.get(LAB)
    pane, note = ("", "") if at is None or isinstance(at, int) else (at.pane, at.note)
    app = Inspector(opened, syntax, pane=pane, welcome=note, bookmarks=bookmarks, lab=lab)
    with _drawing_on_standard_output():
        app.run()
    if app.desk.broken is not None:
        raise app.desk.broken
    return ExitCode.OK


@contextmanager
def _drawing_on_standard_output() -> Iterator[None]:
    """A scope in which textual draws on standard output, not on standard error: `2>err.log` keeps its screen."""
    kept, sys.__stderr__ = sys.__stderr__, sys.__stdout__  # type: ignore[misc]
    try:
        yield
    finally:
        sys.__stderr__ = kept  # type: ignore[misc]


def _is_served() -> bool:
    """Return True if a web server started this process and draws its output."""
    import os  # noqa: PLC0415

    return "TEXTUAL_DRIVER" in os.environ
