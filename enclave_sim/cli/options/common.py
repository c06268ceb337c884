"""What the commands share: how numbers are read, what is run by default, and how results reach standard output."""

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
    """Read a number as Python writes it: 1000000, 1_000_000 or 0xF4240. Defaults come as numbers."""
    try:
        return int(text, 0) if isinstance(text, str) else text
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number (such as 1000000, 1_000_000 or 0xF4240)") from None


def write(output: bytes) -> bool:
    """Write to standard output. Nobody reading any more is no error: the exit code still tells how the run went.

    Returns whether somebody reads.
    """
    try:
        sys.stdout.buffer.write(output)
        sys.stdout.flush()
    except OSError as error:
        # What the stream still holds is flushed at exit, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ConfigurationError(f"cannot write to standard output: {error.strerror}") from None
        return False
    return True
