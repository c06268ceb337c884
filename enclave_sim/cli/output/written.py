"""Output files of commands: each is reported when complete; `-` is standard output, without a report."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from enclave_sim.cli.options.common import write
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.writing import output_file, write_files
from enclave_sim.recording.text import printable

STANDARD_OUTPUT = Path("-")


def keep(inputs: Mapping[Path, str], path: Path) -> None:
    """Check that an output file is not an input that must be kept, even by another name.

    Args:
        inputs: What each input file is, as named in the error: `the secret key`.
        path: The output file.

    Raises:
        ConfigurationError: It is one of them.
    """
    for one, what in inputs.items():
        with suppress(OSError):  # what cannot be found is an error of its own when it is read or written
            if path.samefile(one):
                raise ConfigurationError(f"{path} is {what} itself; name another file for the output")


def save(path: Path, data: bytes, about: str = "", others: Mapping[Path, bytes] | None = None) -> None:
    """Write a file and report it.

    Args:
        path: The file; `-` for standard output.
        data: Its content.
        about: More text for the report.
        others: Files that are written together with it: all or none.

    Raises:
        ConfigurationError: A file cannot be written; then none is.
    """
    if path == STANDARD_OUTPUT:
        write_files(others or {})
        write(data)
    else:
        write_files({path: data, **(others or {})})
        _say(path, len(data), about)


@contextmanager
def saving(path: Path, doing: str) -> Iterator[BinaryIO]:
    """A scope in which a file is written piece by piece. At its end the file appears, and is reported.

    Args:
        path: The file; `-` for standard output.
        doing: The action as named in an error; see `output_file`.

    Yields:
        The open file.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    if path == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        write(b"")
        return
    with output_file(path, doing) as raw, BufferedWriter(cast(RawIOBase, raw)) as buffered:
        yield buffered
        buffered.flush()
        size = raw.size
    _say(path, size, "")


def _say(path: Path, size: int, about: str) -> None:
    more = f", {about}" if about else ""
    write(f"wrote {printable(str(path))}: {size} bytes{more}\n".encode())
