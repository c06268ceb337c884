"""`enclave-sim completion`: what a shell reads to complete commands, options, payloads and kinds of events."""

from enum import Enum

import click
from click.shell_completion import get_completion_class

from enclave_sim.cli.command import command
from enclave_sim.cli.options.types import Choice


class Shell(Enum):
    """The shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command()
@click.argument("shell", type=Choice(Shell), metavar="bash|zsh|fish", help="The shell.")
def completion(shell: Shell) -> None:
    """Print a script with which a shell completes commands, options, payloads and kinds of events.

    Bash and zsh: eval "$(enclave-sim completion bash)", in .bashrc, or with zsh in .zshrc.
    Fish: enclave-sim completion fish | source

    Example: enclave-sim completion zsh
    """
    root = click.get_current_context().find_root()
    kind = get_completion_class(shell.value)
    assert kind is not None
    click.echo(kind(root.command, {}, str(root.info_name), "_ENCLAVE_SIM_COMPLETE").source())
