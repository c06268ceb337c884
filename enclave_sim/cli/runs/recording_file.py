"""The file that `--record` names, or an export: it appears when all of it is written."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from enclave_sim.errors import ConfigurationError


@contextmanager
def recording_file(path: Path, doing: str = "record to") -> Iterator[BinaryIO]:
    """A file that takes its name when all of it is written, and leaves nothing behind when it is not.

    Raises ConfigurationError, which says what it was `doing`, where the file cannot be written.
    """
    goal = path.resolve()
    if goal.is_dir():
        raise ConfigurationError(f"cannot {doing} {path}: it is a directory")
    if not goal.parent.is_dir():
        raise ConfigurationError(f"cannot {doing} {path}: there is no directory {path.parent}")
    special = goal.exists() and not goal.is_file()  # a pipe or a device keeps its name
    written = goal if special else goal.with_name(f".{goal.name}.{secrets.token_hex(6)}.tmp")
    with _explaining(path, doing):
        file = _RecordingFile(written, path, doing)
    try:
        with file:
            yield file
        if not special:
            with _explaining(path, doing):
                os.replace(written, goal)
    finally:
        if not special:
            written.unlink(missing_ok=True)


class _RecordingFile(io.FileIO):
    """Writes all it is given, or raises ConfigurationError naming the file that was asked for."""

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
def _explaining(path: Path, doing: str) -> Iterator[None]:
    """Turn what the operating system says about a file into words for whoever asked for it."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"cannot {doing} {path}: {error.strerror}") from None
