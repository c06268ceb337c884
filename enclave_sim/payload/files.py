"""Writing files whole or not at all: a temporary file beside the goal is filled, then takes its name."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def write_replacing(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing a file of that name in one step. After an OSError nothing changed."""
    with _temporary_beside(path, data, 0o666) as temporary:
        os.replace(temporary, path)


def write_new(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write `data` to a file which must not exist yet (FileExistsError otherwise), with permissions `mode`.

    A hard link takes the name, since unlike a rename it fails when somebody else took it meanwhile.
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
