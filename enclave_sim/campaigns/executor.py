"""Executors run batches somewhere. Here: in local processes. Another one needs the three methods of `Executor`.

A worker that dies takes only its batch with it, which is tried again; the coordinator (campaign.py) decides how often.
The processes are spawned, not forked, and share nothing with the coordinator but a pipe. When it closes, they end.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol

import msgspec

from enclave_sim.campaigns.outcomes import Record
from enclave_sim.campaigns.work import RECORDS, Batch, Worker
from enclave_sim.errors import ConfigurationError, EnclaveError

_POLL_S = 0.2
_END_S = 5.0


class Finished(msgspec.Struct, frozen=True):
    """A batch that has come to an end."""

    batch: Batch
    records: tuple[Record, ...] | None
    """The records; None if the worker died."""
    seconds: float = 0.0
    """Host seconds that it took."""
    died: str = ""
    """The end of the worker that died, in words."""


class Executor(Protocol):
    """A way to run batches."""

    @property
    def free(self) -> int:
        """The number of batches that can be submitted now."""

    def submit(self, batch: Batch) -> None:
        """Begin a batch. There must be a free place."""

    def finished(self) -> Iterator[Finished]:
        """Wait a moment, and yield the batches that have ended."""

    def close(self) -> None:
        """Stop all workers. Their batches are lost."""


class _Process:
    """One worker process."""

    def __init__(self, plan: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, plan), daemon=True)
        self._process.start()
        theirs.close()
        self.batch: Batch | None = None

    @property
    def sentinel(self) -> int:
        """Becomes ready when the process ends."""
        return self._process.sentinel

    @property
    def pid(self) -> int | None:
        """The process ID."""
        return self._process.pid

    def death(self) -> str:
        """Describe the end of the process."""
        self._process.join(_END_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"the worker was ended by {signal.Signals(-code).name}"
        return f"the worker ended with code {code}"

    def end(self) -> None:
        """Kill the process."""
        self.pipe.close()
        self._process.kill()
        self._process.join(_END_S)


class LocalProcesses:
    """An `Executor` with processes on this host.

    Args:
        plan: The plan, encoded.
        count: The number of processes.

    Raises:
        ConfigurationError: `count` is below 1.
    """

    def __init__(self, plan: str, count: int) -> None:
        if count < 1:
            raise ConfigurationError(f"{count} workers are too few; there must be at least 1")
        self._plan = plan
        self._processes = [_Process(plan) for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """The process IDs of the workers."""
        return [one.pid for one in self._processes if one.pid is not None]

    @property
    def free(self) -> int:
        """See `Executor`."""
        return sum(one.batch is None for one in self._processes)

    def submit(self, batch: Batch) -> None:
        """See `Executor`."""
        place = next(one for one in self._processes if one.batch is None)
        place.batch = batch
        with suppress(OSError):  # if it has died, `finished` finds that
            place.pipe.send_bytes(msgspec.msgpack.encode(batch))

    def finished(self) -> Iterator[Finished]:
        """See `Executor`. Raises the error of a worker that cannot begin, because none can then."""
        busy = [one for one in self._processes if one.batch is not None]
        ready = wait([*(one.pipe for one in busy), *(one.sentinel for one in busy)], _POLL_S)
        for process in busy:
            if process.pipe in ready or process.sentinel in ready:
                yield self._receive(process)

    def _receive(self, process: _Process) -> Finished:
        batch = process.batch
        assert batch is not None
        try:
            kind, seconds = msgspec.msgpack.decode(process.pipe.recv_bytes(), type=tuple[str, float])
            content = process.pipe.recv_bytes()
        except (EOFError, OSError, msgspec.MsgspecError):
            died = process.death()
            process.end()
            self._processes[self._processes.index(process)] = _Process(self._plan)
            return Finished(batch, None, died=died)
        if kind == "error":
            raise EnclaveError(content.decode())
        process.batch = None
        return Finished(batch, tuple(RECORDS.decode(content)), seconds)

    def close(self) -> None:
        """See `Executor`."""
        for process in self._processes:
            process.end()


def _work(pipe: "Connection[bytes, bytes]", plan: str) -> None:
    """Run batches until the coordinator closes the pipe. This is the main function of a worker process."""
    from time import perf_counter  # noqa: PLC0415 - of the host, which no run sees

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the coordinator, which ends its workers
    worker: Worker | None = None
    try:
        while True:
            batch = msgspec.msgpack.decode(pipe.recv_bytes(), type=Batch)
            try:
                worker = worker or Worker(plan)
                begun = perf_counter()
                records = worker.run(batch)
            except EnclaveError as error:
                pipe.send_bytes(msgspec.msgpack.encode(("error", 0.0)))
                pipe.send_bytes(str(error).encode())
                return
            pipe.send_bytes(msgspec.msgpack.encode(("records", perf_counter() - begun)))
            pipe.send_bytes(msgspec.msgpack.encode(records))
    except (EOFError, OSError):
        return
