"""A file that appears under its name only when all of it is written: a recording, or an export of one.

All errors that prevent such a file are raised from here, in one line.
"""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enclave_sim.errors import ConfigurationError


class OutputFile(io.FileIO):
    """Writes all data that it is given, or raises ConfigurationError with the name of the file that was asked for."""

    def __init__(self, path: Path, asked_for: Path, doing: str) -> None:
        super().__init__(path, "w")
        self._asked_for, self._doing = asked_for, doing

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        rest = memoryview(data)
        with _explaining(self._asked_for, self._doing):
            while rest:
                rest = rest[super().write(rest) :]
        return len(data)


@contextmanager
def output_file(path: Path, doing: str) -> Iterator[OutputFile]:
    """Open a temporary file beside `path`, which takes that name at the end. After an exception nothing is left of it.

    A file of that name is replaced. A pipe or a device is written to directly.

    Args:
        path: The name of the file.
        doing: The words for this in an error: "cannot `doing` `path`: ...".

    Yields:
        The file.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    goal = path.resolve()
    if goal.is_dir():
        raise ConfigurationError(f"cannot {doing} {path}: it is a directory")
    if not goal.parent.is_dir():
        raise ConfigurationError(f"cannot {doing} {path}: there is no directory {path.parent}")
    special = goal.exists() and not goal.is_file()  # a pipe or a device keeps its name
    written = goal if special else goal.with_name(f".{goal.name}.{secrets.token_hex(6)}.tmp")
    with _explaining(path, doing):
        file = OutputFile(written, path, doing)
    try:
        with file:
            yield file
        if not special:
            with _explaining(path, doing):
                os.replace(written, goal)
    finally:
        if not special:
            written.unlink(missing_ok=True)


@contextmanager
def _explaining(path: Path, doing: str) -> Iterator[None]:
    """Turn an error of the operating system into one that names the file the user asked for."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"cannot {doing} {path}: {error.strerror}") from None
