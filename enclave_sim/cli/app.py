"""The command line, `enclave-sim`: its commands, and how they report errors.

A mistake of the user is one line on standard error and exit code 2, never a traceback. A defect of the emulator is a
traceback and exit code 70 (`main`).
"""

from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.recordings.diff import EXIT_CODES as DIFF_EXIT_CODES
from enclave_sim.cli.recordings.diff import diff
from enclave_sim.cli.recordings.events import events
from enclave_sim.cli.recordings.export import EXIT_CODES as EXPORT_EXIT_CODES
from enclave_sim.cli.recordings.export import export
from enclave_sim.cli.recordings.replay import EXIT_CODES as REPLAY_EXIT_CODES
from enclave_sim.cli.recordings.replay import replay
from enclave_sim.cli.runs.gdb import EXIT_CODES as GDB_EXIT_CODES
from enclave_sim.cli.runs.gdb import gdb
from enclave_sim.cli.runs.inspect import EXIT_CODES as INSPECT_EXIT_CODES
from enclave_sim.cli.runs.inspect import inspect
from enclave_sim.cli.runs.run import EXIT_CODES, run
from enclave_sim.cli.runs.verify import EXIT_CODES as VERIFY_EXIT_CODES
from enclave_sim.cli.runs.verify import verify
from enclave_sim.cli.trust.attestation import VERIFY_EXIT_CODES as EVIDENCE_EXIT_CODES
from enclave_sim.cli.trust.attestation import attest, reference_values, verify_evidence
from enclave_sim.cli.trust.payload import payload_app
from enclave_sim.cli.trust.verifier import verifier_app
from enclave_sim.errors import EnclaveError, HostLimitReached
from enclave_sim.recording.text import one_line
from machine.errors import MachineError

# The base class of the parser's errors. Older versions of typer take it from click and newer ones bring their own, so
# they have no public name for it in common.
_UsageError = cast(type[Exception], typer.BadParameter.__base__)


class _Commands(TyperGroup):
    """The commands. Every error ends in `main`."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **options: Any) -> NoReturn:
        """Parse, run, and end the process with an exit code of `ExitCode`."""
        options["standalone_mode"] = False
        try:
            code = super().main(args, **options) or ExitCode.OK
        except _UsageError as error:
            code = _explain_usage(error)
        except HostLimitReached as error:
            typer.echo(f"stopped: {one_line(str(error))}", err=True)
            code = ExitCode.HOST_LIMIT
        except (EnclaveError, MachineError) as error:
            typer.echo(f"error: {one_line(str(error))}", err=True)
            code = ExitCode.USAGE
        except typer.Abort:
            code = ExitCode.INTERRUPTED
        if code == ExitCode.INTERRUPTED:
            typer.echo("interrupted", err=True)
        raise SystemExit(int(code))


def _explain_usage(error: Any) -> ExitCode:
    message, context = error.format_message(), error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message, nl=bool(message))  # the help itself, unless it has been printed already
    else:
        hint = f"; see {context.command_path} --help" if context is not None else ""
        typer.echo(f"error: {one_line(message).rstrip('.')}{hint}", err=True)
    return ExitCode.USAGE


app = typer.Typer(
    cls=_Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EXIT_CODES, no_args_is_help=False)(run)
app.command(epilog=VERIFY_EXIT_CODES, no_args_is_help=False)(verify)
app.command(epilog=EXPORT_EXIT_CODES, no_args_is_help=False)(export)
app.command(epilog=REPLAY_EXIT_CODES, no_args_is_help=False)(replay)
app.command(epilog=DIFF_EXIT_CODES, no_args_is_help=False)(diff)
app.command(no_args_is_help=False)(events)
app.command(epilog=INSPECT_EXIT_CODES, no_args_is_help=False)(inspect)
app.command(epilog=GDB_EXIT_CODES, no_args_is_help=False)(gdb)
app.command(no_args_is_help=False)(attest)
app.command(epilog=EVIDENCE_EXIT_CODES, no_args_is_help=False)(verify_evidence)
app.command(no_args_is_help=False)(reference_values)
app.add_typer(payload_app, name="payload")
app.add_typer(verifier_app, name="verifier")


@app.command(
    "boot",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def _boot(context: typer.Context) -> None:
    """Boot a kernel of your own on the machine, without an enclave."""
    from enclave_sim.cli.runs.boot import boot  # noqa: PLC0415

    raise typer.Exit(boot(context.args))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - takes 15 ms

        typer.echo(f"enclave-sim {version('enclave-sim')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def enclave_sim(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Emulate the Aether Enclave, a bare-metal WebAssembly unikernel, deterministically.

    It boots in four checked phases, runs a signed payload in ring 3, and annihilates itself without residue.

    Example: enclave-sim run beacon --cycles 3
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)
