"""Writing files atomically: a temporary file in the same directory is written, and then gets the name of the target."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def write_replacing(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically replacing a file of that name. After an OSError nothing has changed."""
    with _temporary_beside(path, data, 0o666) as temporary:
        os.replace(temporary, path)


def write_new(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a new file. Raises FileExistsError if it exists, and OSError; in both cases nothing has changed.

    A hard link takes the name, since unlike a rename it fails if the file has been created in the meantime.

    Args:
        path: The file, which must not exist yet.
        data: Its content.
        mode: Its permissions.
    """
    with _temporary_beside(path, data, mode) as temporary:
        os.link(temporary, path)


@contextlib.contextmanager
def _temporary_beside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
