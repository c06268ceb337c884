"""Reading user-named files: only regular files, and never more than a fixed limit.

A device has no end, a pipe may never have a writer, and a sparse file of terabytes takes no disk space. So each reader
states a limit, and a test forbids other ways to open a file. `boot` starts with this, so it imports little.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 1 << 20
"""Limit in bytes for keys, trust anchors, certificates, TPM model state and evidence."""
DOCUMENT = 1 << 24
"""Limit in bytes for input scripts, reference values and source files."""
MODULE = 1 << 26
"""Limit in bytes for payloads."""
IMAGE = 1 << 30
"""Limit in bytes for kernel images, boot modules, files for fw_cfg and snapshots."""

UTF_8_MARK = b"\xef\xbb\xbf"
"""The byte order mark that some editors put before UTF-8."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16."""

_CHUNK = 1 << 16
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class MissingFile(ConfigurationError):  # noqa: N818
    """There is no file with this name."""


def read_file(path: "str | Path", limit: int) -> bytes:
    """Read a complete file.

    Args:
        path: The file.
        limit: The maximum size in bytes.

    Returns:
        Its content.

    Raises:
        MissingFile: There is no such file.
        ConfigurationError: It cannot be read, is not a regular file, or is larger.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size  # a hint: it is 0 in /proc, and files grow
        chunks, left = [], limit + 1
        while size <= limit and left and (chunk := file.read(min(left, max(size + 1, _CHUNK)))):
            chunks.append(chunk)
            left -= len(chunk)
    if size > limit or not left:
        raise ConfigurationError(f"cannot read {path}: it is larger than {_size(limit)}")
    return b"".join(chunks)


def read_utf8(path: "str | Path", limit: int, what: str) -> str:
    """Read a complete text file, as any editor writes it: a byte order mark is dropped, and CR LF ends a line, too.

    Args:
        path: The file.
        limit: The maximum size in bytes.
        what: A noun with its article, for an error: what the file must be.

    Returns:
        The text. Its lines end with LF.

    Raises:
        MissingFile: There is no such file.
        ConfigurationError: It cannot be read, is not a regular file, is larger, or is not UTF-8 text.
    """
    data = read_file(path, limit)
    if data.startswith(UTF_16):
        raise ConfigurationError(f"{path} is not {what}: it is UTF-16 text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not {what}: it is not UTF-8 text at byte {error.start}") from None


def read_start(path: "str | Path", count: int) -> bytes:
    """Read the first bytes of a file, to determine its type.

    Args:
        path: The file.
        count: The maximum number of bytes to read.

    Returns:
        The bytes; none if the file cannot be read or is not a regular file.
    """
    try:
        with open_file(path) as file:
            return file.read(count)
    except ConfigurationError:
        return b""


def open_file(path: "str | Path") -> io.BufferedReader:
    """Open a file to be read piece by piece, each with its own limit.

    Args:
        path: The file.

    Returns:
        The file. Reading it raises ConfigurationError, too.

    Raises:
        MissingFile: There is no such file.
        ConfigurationError: It cannot be opened, or is not a regular file.
    """
    return io.BufferedReader(_InputFile(path))


class _InputFile(io.FileIO):
    """A regular file, whose errors name it as the user did."""

    def __init__(self, path: "str | Path") -> None:
        self._path = path
        with self._explaining():
            super().__init__(path, opener=_open)
        kind = stat.S_IFMT(os.fstat(self.fileno()).st_mode)
        if kind != stat.S_IFREG:
            self.close()
            what = _KINDS.get(kind, "something else")
            raise ConfigurationError(f"cannot read {path}: it is {what}; it must be a regular file")

    def readinto(self, buffer: Any, /) -> int | None:
        with self._explaining():
            return super().readinto(buffer)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise MissingFile(f"cannot read {self._path}: {error.strerror}") from None
        except OSError as error:
            raise ConfigurationError(f"cannot read {self._path}: {error.strerror}") from None
        except ValueError:  # a zero byte
            raise ConfigurationError(f"cannot read {str(self._path)!r}: no file can have this name") from None


def _open(path: str, flags: int) -> int:
    """Open without blocking: a pipe may never have a writer. A terminal must not become the controlling terminal."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _size(limit: int) -> str:
    """Return a limit as text; all limits are powers of two."""
    return f"{limit >> 30} GiB" if limit >= 1 << 30 else f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
