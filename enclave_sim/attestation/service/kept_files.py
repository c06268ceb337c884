"""The files of a database, which may be deleted or replaced while in use.

An open file survives the loss of its name: everything is stored, and lost when the service ends. SQLite does not detect
that. So the files are compared with the opened ones before a transaction and after its commit.
"""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The files of an SQLite database in WAL mode, as opened."""

    path: Path
    identities: dict[Path, tuple[int, int]]
    """Device and inode of each file."""
    size: int
    """Size of the database in bytes. It never shrinks."""

    @classmethod
    def of(cls, path: Path) -> "KeptFiles":
        """Return the files of an open database. Raises OSError if one is missing."""
        paths = [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
        return cls(path, {each: _identity(os.stat(each)) for each in paths}, os.stat(path).st_size)

    def check(self) -> None:
        """Raise sqlite3.OperationalError if a file is not the opened one."""
        for path, identity in self.identities.items():
            try:
                found = os.stat(path)
            except OSError as error:
                raise sqlite3.OperationalError(self._gone(path, error.strerror or "missing")) from None
            if _identity(found) != identity:
                raise sqlite3.OperationalError(self._gone(path, "it was replaced by another file"))
            if path == self.path and found.st_size < self.size:
                raise sqlite3.OperationalError(self._gone(path, "it was cut short"))

    def _gone(self, path: Path, reason: str) -> str:
        return f"{path}: {reason}; nothing is stored until the verifier is restarted"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
