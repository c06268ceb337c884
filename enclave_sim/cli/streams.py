"""The standard streams: lost output is a one-line error, whatever wrote it, never a traceback.

A full disk, a closed descriptor or a broken terminal loses a command's output, so the command has failed. A reader that
has exited (`| head`) needs no more: that is not an error, and the exit code still reports the result. This module is
imported first, so it imports little.
"""

import io
import os
import select
import sys
from typing import Any

from enclave_sim.errors import ConfigurationError


class OutputLost(ConfigurationError):  # noqa: N818
    """Standard output cannot be written."""


class _Stream(io.FileIO):
    """A writer to a descriptor. After the first failure it drops everything."""

    def __init__(self, descriptor: int, *, silent: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failed = False
        self._silent = silent

    def write(self, data: Any, /) -> int:
        rest = memoryview(data)
        try:
            while rest and not self.failed:
                written = super().write(rest)
                if written is None:  # another process has made the descriptor non-blocking
                    select.select([], [self.fileno()], [])
                else:
                    rest = rest[written:]
        except OSError as error:
            self.failed = True
            if not (self._silent or isinstance(error, BrokenPipeError)):
                raise OutputLost(f"cannot write to standard output: {error.strerror}") from None
        return len(data)


def protect() -> None:
    """Replace the streams of `sys`. Closed descriptors are opened, so that no file can take their numbers."""
    _open_closed()
    sys.stdout = stream(1, sys.stdout)
    sys.stderr = stream(2, sys.stderr, silent=True)


def stream(descriptor: int, like: io.TextIOWrapper | Any | None = None, *, silent: bool = False) -> io.TextIOWrapper:
    """Make a text stream on a descriptor.

    Args:
        descriptor: The file descriptor.
        like: The stream whose encoding to use.
        silent: Drop lost output without an error, because there is nowhere to report it.

    Returns:
        The stream. Writing raises OutputLost at most once.
    """
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(descriptor, silent=silent)),
        encoding=getattr(like, "encoding", None),
        errors="backslashreplace",  # a file's name may have any bytes
        line_buffering=silent or os.isatty(descriptor),
    )


def has_reader() -> bool:
    """Return False once standard output has failed, so that endless commands can stop."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return not (isinstance(raw, _Stream) and raw.failed)


def _open_closed() -> None:
    """Open closed descriptors: input is at its end, errors are dropped, and writing to output fails."""
    for descriptor, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
