"""Output files of commands: each is reported when complete; `-` is standard output, without a report.

A file that was there is replaced, and the report says so. A recording is not: nothing can make it again but its run.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

import click

from enclave_sim.cli.options.common import write
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.writing import output_file, write_files
from enclave_sim.recording.format import is_recording
from enclave_sim.recording.text import printable

STANDARD_OUTPUT = Path("-")


def keep(inputs: Mapping[Path, str], path: Path) -> None:
    """Check that an output file is neither an input that must be kept, even by another name, nor a recording.

    Args:
        inputs: What each input file is, as named in the error: `the secret key`.
        path: The output file.

    Raises:
        ConfigurationError: It is.
    """
    for one, what in inputs.items():
        with suppress(OSError):  # what cannot be found is an error of its own when it is read or written
            if path.samefile(one):
                raise ConfigurationError(f"{path} is {what} itself; name another file for the output")
    if path != STANDARD_OUTPUT and is_recording(path):
        raise ConfigurationError(f"cannot write {path}: it exists and is a recording; remove it or name another file")


def is_replaced(*paths: Path) -> bool:
    """Report whether one of these output files exists and is not empty."""
    return any(os.path.isfile(path) and os.path.getsize(path) for path in paths)


def save(path: Path, data: bytes, about: str = "", others: Mapping[Path, bytes] | None = None) -> None:
    """Write a file and report it.

    Args:
        path: The file; `-` for standard output.
        data: Its content.
        about: More text for the report.
        others: Files that are written together with it: all or none.

    Raises:
        ConfigurationError: A file cannot be written; then none is. Or it is a recording.
    """
    keep({}, path)
    if path == STANDARD_OUTPUT:
        write_files(others or {})
        write(data)
    else:
        files = {path: data, **(others or {})}
        replaced = is_replaced(*files)
        write_files(files)
        _say(path, len(data), about, replaced=replaced)


@contextmanager
def saving(path: Path, doing: str) -> Iterator[BinaryIO]:
    """A scope in which a file is written piece by piece. At its end the file appears, and is reported.

    Args:
        path: The file; `-` for standard output.
        doing: The action as named in an error; see `output_file`.

    Yields:
        The open file.

    Raises:
        ConfigurationError: The file cannot be written, or it is a recording.
    """
    keep({}, path)
    replaced = is_replaced(path)
    if path == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        write(b"")
        return
    with output_file(path, doing) as raw, BufferedWriter(cast(RawIOBase, raw)) as buffered:
        yield buffered
        buffered.flush()
        size = raw.size
    _say(path, size, "", replaced=replaced)


@contextmanager
def replacing(path: Path) -> Iterator[None]:
    """A scope that writes a file beside other output. Standard error says if it replaces one.

    Args:
        path: The file; not standard output.

    Yields:
        Nothing.

    Raises:
        ConfigurationError: It is a recording.
    """
    keep({}, path)
    replaced = is_replaced(path)
    yield
    if replaced:
        click.echo(f"note: replaced the file {printable(str(path))}", err=True)


def _say(path: Path, size: int, about: str, *, replaced: bool) -> None:
    more = (f", {about}" if about else "") + ("; it replaced an older file" if replaced else "")
    write(f"wrote {printable(str(path))}: {size} bytes{more}\n".encode())
