"""The option `--record`: the files that it may replace, and its notes about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from enclave_sim.cli.output.written import STANDARD_OUTPUT
from enclave_sim.errors import ConfigurationError, HostLimitReached
from enclave_sim.recording.format import Header, is_recording
from enclave_sim.recording.text import plural, printable
from enclave_sim.recording.writer import RecordingWriter


@contextmanager
def recording_to(path: Path, header: Header | None = None) -> Iterator[RecordingWriter]:
    """A scope that records a run in a file. Ctrl-C and a host limit keep the events so far; see `RecordingWriter.open`.

    Args:
        path: The file. A recording is replaced, with a note; no other file is.
        header: The header, unless the run makes it.

    Yields:
        The recorder.

    Raises:
        ConfigurationError: There is another file of this name, it cannot be written, or `-` is given.
        KeyboardInterrupt: The run was interrupted.
        HostLimitReached: The host limit expired.
    """
    if path == STANDARD_OUTPUT:
        raise ConfigurationError("cannot record to -: a recording needs a file, not standard output")
    replaced = path.is_file() and path.stat().st_size > 0
    if replaced and not is_recording(path):
        raise ConfigurationError(
            f"cannot record to {path}: it exists and is not a recording; remove it or name another"
        )
    name, events = printable(str(path)), 0
    try:
        with RecordingWriter.open(path, header) as writer:
            try:
                yield writer
            finally:
                events = writer.events if writer.has_begun else 0
    except (KeyboardInterrupt, HostLimitReached) as error:
        if events:
            until = "interruption" if isinstance(error, KeyboardInterrupt) else "host limit"
            click.echo(f"note: {name} has the {plural(events, 'event')} until the {until}", err=True)
        raise
    if replaced:
        click.echo(f"note: replaced the recording in {name}", err=True)
