"""`enclave-sim completion`: shell scripts that complete commands, options, payloads and event kinds."""

from enum import Enum

import click
from click.shell_completion import get_completion_class

from enclave_sim.cli.command import command
from enclave_sim.cli.options.types import Choice


class Shell(Enum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command()
@click.argument("shell", type=Choice(Shell), metavar="bash|zsh|fish", help="The shell.")
def completion(shell: Shell) -> None:
    """Print a script that makes a shell complete commands, options, payloads and event kinds.

    Bash and zsh: eval "$(enclave-sim completion bash)", in .bashrc, or with zsh in .zshrc.
    Fish: enclave-sim completion fish | source

    Example: enclave-sim completion zsh
    """
    root = click.get_current_context().find_root()
    kind = get_completion_class(shell.value)
    assert kind is not None
    click.echo(kind(root.command, {}, str(root.info_name), "_ENCLAVE_SIM_COMPLETE").source())
