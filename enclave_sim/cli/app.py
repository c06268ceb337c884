"""The command line, `enclave-sim`: its commands and their error reports.

A user's mistake is one line on standard error and exit code 2, never a traceback. A bug in the emulator is a traceback
and exit code 70 (`main`). Each command is imported only when it runs, with only the modules that it uses.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from enclave_sim.cli.command import Group
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.signals import last_words
from enclave_sim.errors import EnclaveError, HostLimitReached, KernelDied
from enclave_sim.recording.text import one_line
from machine.errors import MachineError

NAME = "enclave-sim"
_COMMANDS = {
    "run": "runs.run",
    "verify": "runs.verify",
    "inspect": "runs.inspect",
    "gdb": "runs.gdb",
    "provenance": "runs.provenance",
    "lifetimes": "runs.lifetimes",
    "coverage": "runs.coverage",
    "sweep": "runs.sweep",
    "boot": "runs.boot",
    "replay": "recordings.replay",
    "diff": "recordings.diff",
    "events": "recordings.events",
    "export": "recordings.export",
    "interrupts": "recordings.interrupts",
    "notebook": "recordings.notebook",
    "payload": "trust.payload",
    "attest": "trust.attestation",
    "verify-evidence": "trust.attestation",
    "reference-values": "trust.attestation",
    "verifier": "trust.verifier",
    "firmware": "firmware",
    "lab": "labs.lab",
    "campaign": "campaigns.campaign",
    "schema": "schema",
    "completion": "completion",
}
"""The module of each command, in help order. The function has the command's name, with underscores."""


class _Commands(Group):
    """The commands. Every error ends in `main`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        _import_msgspec()
        found: click.Command = getattr(
            importlib.import_module(f"enclave_sim.cli.{_COMMANDS[cmd_name]}"), cmd_name.replace("-", "_")
        )
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the named command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return _say(last_words(), ExitCode.INTERRUPTED)

    def main(self, args: Sequence[str] | None = None, *_: Any, **options: Any) -> NoReturn:
        """Parse, run, and end the process with an exit code of `ExitCode`."""
        options.update(prog_name=NAME, standalone_mode=False)
        try:
            code = super().main(args, **options) or ExitCode.OK
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.message)
            code = ExitCode.OK
        except click.Abort:  # Ctrl-C while options were parsed
            code = _say(last_words(), ExitCode.INTERRUPTED)
        except click.ClickException as error:
            from enclave_sim.cli.usage import explain  # noqa: PLC0415 - only a mistake needs it

            code = _say(f"error: {explain(error)}", ExitCode.USAGE)
        except HostLimitReached as error:
            code = _say(f"stopped: {one_line(str(error))}", ExitCode.HOST_LIMIT)
        except (EnclaveError, MachineError) as error:
            code = ExitCode.DEFECT if isinstance(error, KernelDied) else ExitCode.USAGE
            _say(f"error: {one_line(str(error))}", code)
        except MemoryError:
            code = _say("error: the host does not allow more memory; `ulimit -v` shows its limit", ExitCode.USAGE)
        raise SystemExit(int(code))


def _import_msgspec() -> None:
    """Import msgspec, which all commands need, without typing_extensions, which it only prefers: 7 ms of 250."""
    preferred = "typing_extensions"
    if "msgspec" in sys.modules or preferred in sys.modules:
        return
    sys.modules[preferred] = None  # type: ignore[assignment]  # importing it fails
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules[preferred]


def _say(words: str, code: ExitCode) -> ExitCode:
    click.echo(words, err=True)
    return code


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - takes 15 ms

        click.echo(f"{NAME} {version(NAME)}")
        context.exit()


@click.group(
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"show_default": True},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def app() -> None:
    """Emulate the Aether Enclave, a bare-metal WebAssembly unikernel, deterministically.

    It boots in four checked phases, runs a signed payload in ring 3, and annihilates itself without residue.

    Example: enclave-sim run beacon --cycles 3
    """
