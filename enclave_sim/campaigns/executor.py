"""Executors run batches somewhere. Here: in local processes; `dask_cluster.py` has processes on other hosts.

A worker that dies takes only its batch with it, which is tried again; the coordinator (campaign.py) decides how often.
"""

from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import wait
from typing import Protocol

from enclave_sim.campaigns.work import Batch, Identity
from enclave_sim.campaigns.worker_process import Finished, WorkerProcess
from enclave_sim.errors import ConfigurationError

POLL_S = 0.2
"""Host seconds for which `Executor.finished` waits."""


class Executor(Protocol):
    """A way to run batches."""

    def begin(self, plan: str, identity: Identity) -> None:
        """Prepare for the batches of one campaign: its plan, encoded, and what each worker must find it to be."""

    @property
    def free(self) -> int:
        """The number of batches that can be submitted now; above 0 if none is under way."""

    def submit(self, batch: Batch) -> None:
        """Begin a batch. There must be a free place."""

    def finished(self) -> Iterator[Finished]:
        """Wait a moment, and yield each batch that has ended, once.

        Raises:
            EnclaveError: A worker cannot begin, and so none can.
        """

    def close(self) -> None:
        """Stop all workers. Their batches are lost."""


class LocalProcesses:
    """An `Executor` with processes on this host.

    Args:
        count: The number of processes.

    Raises:
        ConfigurationError: `count` is below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigurationError(f"{count} workers are too few; there must be at least 1")
        self._count = count
        self._make: Callable[[], WorkerProcess]
        self._idle: list[WorkerProcess] = []
        self._busy: dict[WorkerProcess, Batch] = {}

    def begin(self, plan: str, identity: Identity) -> None:
        """See `Executor`."""
        self._make = partial(WorkerProcess, plan, identity)
        self._idle = [self._make() for _ in range(self._count)]

    @property
    def pids(self) -> list[int]:
        """The process IDs of the workers."""
        return [one.pid for one in (*self._busy, *self._idle)]

    @property
    def free(self) -> int:
        """See `Executor`."""
        return len(self._idle)

    def submit(self, batch: Batch) -> None:
        """See `Executor`."""
        process = self._idle.pop()
        self._busy[process] = batch
        process.submit(batch)

    def finished(self) -> Iterator[Finished]:
        """See `Executor`."""
        ready = wait([one.pipe for one in self._busy], POLL_S)
        for process in [one for one in self._busy if one.pipe in ready]:
            found = process.receive(self._busy[process])
            del self._busy[process]
            if found.records is None:
                process.end()
                process = self._make()  # noqa: PLW2901 - takes its place
            self._idle.append(process)
            yield found

    def close(self) -> None:
        """See `Executor`."""
        for process in (*self._busy, *self._idle):
            process.end()
