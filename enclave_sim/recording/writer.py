"""Writing a recording to a file during the run.

with RecordingWriter.open(Path("kernel.jsonl"), header) as writer:
    Machine(configuration, writer).run()

An `Enclave` creates its own header, and passes it to its writer:

with RecordingWriter.open(Path("counter.jsonl")) as writer:
    Enclave("counter", record=False, writer=writer).run()
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from msgspec.structs import replace

from enclave_sim.errors import EnclaveError, HostLimitReached
from enclave_sim.files.writing import output_file
from enclave_sim.recording.format import BATCH, Digest, Header, encode_line, encode_lines
from machine.events import Event
from machine.execution.deferred_signals import SignalsHeld


class RecordingWriter:
    """A recorder that writes events to a file, and computes their digest. Memory stays bounded.

    `open` also manages the file. A caller that passes an open `file` calls `finish` and closes it.

    Args:
        file: The file, opened for binary writing.
        header: Everything that determines the run; without it, call `begin` before the first event.
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

        Ctrl-C (KeyboardInterrupt) in the block, or a host limit, ends the recording there: it has the events so far,
        which can be replayed, and a trailer marked `interrupted`. Any other exception discards it, and an existing
        file is unchanged.

        Args:
            path: The file. An existing one is replaced; a pipe or a device is written to directly.
            header: Everything that determines the run; without it, call `begin` within the block.

        Yields:
            The writer.

        Raises:
            ConfigurationError: The file cannot be written.
            KeyboardInterrupt: The block raised it.
            HostLimitReached: The block raised it.
        """
        interruption: BaseException | None = None
        with output_file(path, "record to") as file:
            writer = cls(file, header)
            try:
                yield writer
            except (KeyboardInterrupt, HostLimitReached) as error:
                if not writer.has_begun:
                    raise
                interruption = error
            writer.finish(interrupted=interruption is not None)
        if interruption is not None:
            raise interruption

    def begin(self, header: Header) -> None:
        """Write the header.

        Args:
            header: Everything that determines the run.

        Raises:
            EnclaveError: There is already a header, which cannot be taken back.
        """
        if self._begun is not None:
            raise EnclaveError("a recording that is being written to a file cannot begin again")
        self._begun = Digest(header)
        self._file.write(encode_line(header))

    def record(self, event: Event) -> None:
        """Take one event. Events are encoded in batches, which is much faster than one by one.

        Args:
            event: The event.
        """
        self._pending.append(event)
        if len(self._pending) >= BATCH:
            self._flush()

    @property
    def has_begun(self) -> bool:
        """True once there is a header."""
        return self._begun is not None

    @property
    def events(self) -> int:
        """Number of events taken."""
        return self._digest.events + len(self._pending)

    def stop_at(self, limit_ns: int) -> None:
        """Note that the run ends here, unless more events follow.

        Args:
            limit_ns: The limit of virtual time that was reached, in ns.
        """
        self._flush()
        self._digest.stop_at(limit_ns)

    def hexdigest(self) -> str:
        """Compute the digest of all events so far.

        Returns:
            The SHA-256 in hex.
        """
        self._flush()
        return self._digest.hexdigest()

    def finish(self, *, interrupted: bool = False) -> None:
        """Write the trailer.

        Args:
            interrupted: The run was interrupted here.

        Raises:
            EnclaveError: No header was given.
        """
        self._flush()
        self._file.write(encode_line(replace(self._digest.trailer(), interrupted=interrupted)))
        self._file.flush()

    @property
    def _digest(self) -> Digest:
        if self._begun is None:
            raise EnclaveError("a recording needs a header")
        return self._begun

    def _flush(self) -> None:
        with SignalsHeld():  # Ctrl-C takes effect before or after this: digest and file agree
            lines = encode_lines(self._pending)
            self._digest.take_lines(lines, len(self._pending))
            self._file.write(lines)
            self._pending.clear()
