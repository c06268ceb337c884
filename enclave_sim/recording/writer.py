"""Writing a recording to a file while the run goes on.

with RecordingWriter.open(Path("kernel.jsonl"), header) as writer:
    Machine(configuration, writer).run()

An `Enclave` makes its header itself, and hands it to the writer that it is given:

with RecordingWriter.open(Path("counter.jsonl")) as writer:
    Enclave("counter", record=False, writer=writer).run()
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from enclave_sim.errors import EnclaveError
from enclave_sim.recording.format import BATCH, Digest, Header, encode_line, encode_lines
from enclave_sim.recording.output_file import output_file
from machine.events import Event


class RecordingWriter:
    """A recorder that writes what it is given to a file, and hashes it. Memory stays bounded.

    `open` also sees to the file; whoever hands over an open `file` calls `finish` and closes it.
    """

    def __init__(self, file: BinaryIO, header: Header | None = None) -> None:
        self._file = file
        self._pending: list[Event] = []
        self._begun: Digest | None = None
        if header is not None:
            self.begin(header)

    @classmethod
    @contextmanager
    def open(cls, path: Path, header: Header | None = None) -> Iterator[Self]:
        """Open a file, which appears under its name, with a trailer, when the `with` block ends.

        When the block raises an exception nothing is left of it, and a file that had the name stays as it was.

        Args:
            path: The file. One that is there is replaced; a pipe or a device is written to directly.
            header: What the run is made from; without it, `begin` is called within the block.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        with output_file(path, "record to") as file:
            writer = cls(file, header)
            yield writer
            writer.finish()

    def begin(self, header: Header) -> None:
        """Write the header. Raises EnclaveError where there is one already, which cannot be taken back."""
        if self._begun is not None:
            raise EnclaveError("a recording that is being written to a file cannot begin again")
        self._begun = Digest(header)
        self._file.write(encode_line(header))

    def record(self, event: Event) -> None:
        """Take one event. They are encoded many at a time, which costs a fraction."""
        self._pending.append(event)
        if len(self._pending) >= BATCH:
            self._flush()

    @property
    def events(self) -> int:
        """The number of events taken."""
        return self._digest.events + len(self._pending)

    def stop_at(self, limit_ns: int) -> None:
        """Note that the run ends here, at this limit, unless more events come."""
        self._flush()
        self._digest.stop_at(limit_ns)

    def hexdigest(self) -> str:
        """Return the digest of everything so far."""
        self._flush()
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Write the trailer. Raises EnclaveError where no header was given."""
        self._flush()
        self._file.write(encode_line(self._digest.trailer()))
        self._file.flush()

    @property
    def _digest(self) -> Digest:
        if self._begun is None:
            raise EnclaveError("a recording needs a header")
        return self._begun

    def _flush(self) -> None:
        lines = encode_lines(self._pending)
        self._digest.take_lines(lines, len(self._pending))
        self._file.write(lines)
        self._pending.clear()
