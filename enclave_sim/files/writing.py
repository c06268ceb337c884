"""Atomic file writing: a file, or a group of files, appears under its name only when completely written.

The content goes to a temporary file in the same directory, which is then renamed. Any failure is raised from here, in
one line with the user's file name, and leaves no trace.
"""

import io
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from enclave_sim.errors import ConfigurationError

_temporary: set[Path] = set()
"""The temporary files that are being written."""
_PREFIX = 64
"""The number of characters of a file's name used in that of its temporary file, because names have a maximum length."""


class OutputFile(io.FileIO):
    """Writes all its data, or raises ConfigurationError with the name of the requested file."""

    def __init__(self, path: "Path | int", asked_for: object, doing: str, mode: str = "w") -> None:
        super().__init__(path, mode)
        self._asked_for, self._doing = asked_for, doing
        self.size = 0
        """The number of bytes written so far."""

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        rest = memoryview(data)
        with _explaining(self._asked_for, self._doing):
            while rest:
                rest = rest[super().write(rest) :]
        self.size += len(data)
        return len(data)


@contextmanager
def output_file(path: Path, doing: str, *, durable: bool = False, mode: int = 0o666) -> Iterator[OutputFile]:
    """Open a temporary file beside `path`, which takes that name at the end.

    An exception removes it. An existing file is replaced. A pipe or a device is written to directly.

    Args:
        path: The name of the file.
        doing: The action as named in an error: "cannot `doing` `path`: ...".
        durable: Wait until the content has reached the disk, so that a power failure cannot leave an empty file.
        mode: Its permissions, before the umask. A replaced file gets them, too.

    Yields:
        The file.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with _explaining(path, doing):
        goal = Path(os.path.realpath(path))
        if goal.is_dir():
            raise ConfigurationError(f"cannot {doing} {path}: it is a directory")
        if not goal.parent.is_dir():
            raise ConfigurationError(f"cannot {doing} {path}: there is no directory {path.parent}")
        special = goal.exists() and not goal.is_file()  # a pipe or a device keeps its name
        written = goal if special else _beside(goal)
        new = os.O_TRUNC if special else os.O_CREAT | os.O_EXCL
        if not special:
            _temporary.add(written)
        file = OutputFile(os.open(written, os.O_WRONLY | new | os.O_CLOEXEC, mode), path, doing)
    try:
        with file:
            yield file
            if durable and not special:
                with _explaining(path, doing):
                    os.fsync(file.fileno())
        if not special:
            with _explaining(path, doing):
                os.replace(written, goal)
    finally:
        if not special:
            written.unlink(missing_ok=True)
            _temporary.discard(written)


def write_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file. An existing file is replaced.

    Args:
        path: The file.
        data: Its content.
        mode: Its permissions.

    Raises:
        ConfigurationError: It cannot be written.
    """
    with output_file(path, "write", durable=True, mode=mode) as file:
        file.write(data)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all or none. Existing files are replaced.

    Args:
        contents: Their content, by name. Missing directories must be created first; see `new_directory`.

    Raises:
        ConfigurationError: One of them cannot be written.
    """
    with ExitStack() as all_of_them:
        for path, data in contents.items():
            all_of_them.enter_context(output_file(path, "write", durable=True)).write(data)


def write_new(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file that must not exist yet. It is hard-linked to its name: unlike a rename, that replaces nothing.

    Args:
        path: The file.
        data: Its content.
        mode: Its permissions.

    Raises:
        ConfigurationError: It exists, or it cannot be written.
    """
    with _explaining(path, "write"):
        temporary = _beside(path)
        _temporary.add(temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with OutputFile(descriptor, path, "write") as file:
                file.write(data)
                os.fsync(descriptor)
            os.link(temporary, path)
        except FileExistsError:
            raise ConfigurationError(
                f"cannot write {path}: it exists already and is not overwritten; choose another name"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
            _temporary.discard(temporary)


@contextmanager
def new_directory(path: Path) -> Iterator[None]:
    """A scope in which a directory exists; it is created if needed. An exception removes created directories.

    Args:
        path: The directory. Its parents are created, too.

    Raises:
        ConfigurationError: It cannot be made.
    """
    for one in (path, *path.parents):
        if one.exists() and not one.is_dir():
            raise ConfigurationError(f"cannot write to {path}: {one} is a file; name a directory")
    with _explaining(path, "write to"):
        made = [one for one in (path, *path.parents) if not one.exists()]
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for one in made:
            with suppress(OSError):
                one.rmdir()
        raise


def remove_temporary_files() -> None:
    """Remove the temporary files of this process, which ends."""
    for path in _temporary:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.parent / f".{path.name[:_PREFIX]}.{secrets.token_hex(6)}.tmp"


@contextmanager
def _explaining(asked_for: object, doing: str) -> Iterator[None]:
    """Turn an operating system error into one that names the requested file."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"cannot {doing} {asked_for}: {error.strerror}") from None
    except ValueError:  # a zero byte
        raise ConfigurationError(f"cannot {doing} {str(asked_for)!r}: no file can have this name") from None
