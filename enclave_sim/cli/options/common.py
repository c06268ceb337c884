"""Shared by the commands: the default payload, numbers as the user types them, and output to standard output."""

import os
import sys
from typing import Annotated

import typer

from enclave_sim.errors import ConfigurationError

DEFAULT_PAYLOAD = "beacon"
DEFAULT_FLAT_PAYLOAD = "surveyor"
Payloads = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PAYLOAD",
        help=f"Built-in name or path of a signed module. Several take turns. Default: {DEFAULT_PAYLOAD}",
        show_default=False,
    ),
]


def number(text: str | int) -> int:
    """Parse a number in Python's syntax: 1000000, 1_000_000 or 0xF4240. Defaults are numbers already."""
    try:
        return int(text, 0) if isinstance(text, str) else text
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number (such as 1000000, 1_000_000 or 0xF4240)") from None


def write(output: bytes) -> bool:
    """Write to standard output. A closed pipe is no error, since the exit code still reports the result.

    Args:
        output: The bytes to write.

    Returns:
        False if the other end of the pipe is closed.

    Raises:
        ConfigurationError: Standard output cannot be written.
    """
    try:
        sys.stdout.buffer.write(output)
        sys.stdout.flush()
    except OSError as error:
        # The stream flushes its buffer again at exit, where it must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ConfigurationError(f"cannot write to standard output: {error.strerror}") from None
        return False
    return True
