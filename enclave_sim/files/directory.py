"""Reading a directory from someone who is not trusted, such as a student's work.

Only named files directly in the directory are read, each up to a limit. No symbolic link is followed.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from enclave_sim.errors import ConfigurationError

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_directory(directory: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Read files of a directory.

    Args:
        directory: The directory; not a symbolic link.
        limits: The maximum size in bytes of each file, by its name in the directory.

    Returns:
        The contents of those files that exist.

    Raises:
        ConfigurationError: The directory or a file cannot be read, is a symbolic link, is not a regular file, or is
            larger than its limit.
    """
    try:
        handle = os.open(directory, _FLAGS | os.O_DIRECTORY)
    except (OSError, ValueError) as error:
        reason = (
            "it is a symbolic link"
            if directory.is_symlink()
            else getattr(error, "strerror", "no directory can have this name")
        )
        raise ConfigurationError(f"cannot read {directory}: {reason}") from None
    try:
        found = {name: _read(handle, directory, name, limit) for name, limit in limits.items()}
    finally:
        os.close(handle)
    return {name: data for name, data in found.items() if data is not None}


def _read(handle: int, directory: Path, name: str, limit: int) -> bytes | None:
    """Return the content of a file of an open directory; None if it is missing."""
    place = f"{directory}/{name}"
    try:
        opened = os.open(name, _FLAGS, dir_fd=handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"cannot read {place}: {error.strerror}; it must be a regular file") from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ConfigurationError(f"cannot read {place}: it is not a regular file")
    with os.fdopen(opened, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ConfigurationError(f"cannot read {place}: it is larger than {limit} bytes")
    return data
