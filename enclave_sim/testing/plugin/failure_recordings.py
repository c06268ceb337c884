"""Files for the recordings of failing tests, one per enclave, named after the test.

pytest imports this module whenever it starts, so it imports nothing of the emulator.
"""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from enclave_sim.errors import ConfigurationError

_LONGEST_NAME = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Saveable(Protocol):
    """A recording."""

    def save(self, path: Path, /) -> None:
        """Write it to a file, completely or not at all. Raises ConfigurationError if that fails."""


def prepared(directory: Path) -> Path:
    """Return the directory, created if missing. Raises ConfigurationError if it is not writable."""
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"{directory} is a file; it must be a directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigurationError(f"cannot write to directory {directory}: {error.strerror}") from None
    return directory


def file_name(test_id: str, number: int) -> str:
    """Return the name of the file for one enclave of a test.

    Args:
        test_id: The test's id in pytest.
        number: The number of the enclave, from 1.

    Returns:
        The id, made safe and short, with part of its digest, because several ids may look alike then, and the
    number.
    """
    safe = _UNSAFE.sub("_", test_id)[:_LONGEST_NAME].strip("_.-")
    return f"{safe}-{hashlib.sha256(test_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}-{number}.jsonl"


def save_all(directory: Path, test_id: str, recordings: Sequence[Saveable]) -> list[Path]:
    """Save a test's recordings. Return the paths. Raises ConfigurationError if a file cannot be written."""
    saved = []
    for number, recording in enumerate(recordings, start=1):
        path = directory / file_name(test_id, number)
        recording.save(path)
        saved.append(path)
    return saved
