"""The payload argument and output to standard output, shared by the commands."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

import payloads as built_in
from enclave_sim.cli.command import option
from enclave_sim.cli.streams import has_reader
from enclave_sim.specification import EngineName

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DEFAULT_PAYLOAD, _DEFAULT_FLAT_PAYLOAD = "beacon", "surveyor"
as_json = option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def complete_payload(context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Complete built-in payloads of the chosen engine, and files."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only the shell asks

    engine = context.params.get("engine")
    flat = isinstance(engine, EngineName) and engine.is_flat
    names = built_in.flat_names() if flat else built_in.names()
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


payloads = click.argument(
    "payload",
    nargs=-1,
    metavar="[PAYLOAD]...",
    shell_complete=complete_payload,
    help=f"Built-in name or path of a signed module. Several take turns. Default: {DEFAULT_PAYLOAD}",
)


def or_default(names: Sequence[str], engine: EngineName) -> list[str]:
    """Return the given payloads, or the engine's default."""
    return list(names) or [_DEFAULT_FLAT_PAYLOAD if engine.is_flat else DEFAULT_PAYLOAD]


def write(output: bytes) -> bool:
    """Write to standard output. A closed pipe is not an error, because the exit code still reports the result.

    Args:
        output: The bytes to write.

    Returns:
        False if the other end of the pipe is closed.

    Raises:
        OutputLost: Standard output cannot be written.
    """
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
    return has_reader()
