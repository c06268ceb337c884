"""An executor that ships batches to the workers of a Dask scheduler, on any hosts.

A batch is a few numbers: each worker boots the enclave of the plan itself (work.py). Dask repeats by itself what was
under way on a worker that it has lost, and what a worker had not delivered yet. Either way a batch ends once, here: as
the end of its one future.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import msgspec

from enclave_sim.campaigns.dask_worker import run_batch
from enclave_sim.campaigns.executor import POLL_S
from enclave_sim.campaigns.work import RECORDS, Batch, Identity
from enclave_sim.campaigns.worker_process import Finished
from enclave_sim.errors import ConfigurationError, EnclaveError, installing
from enclave_sim.recording.text import one_line

_CONNECT_S, _ALONE_S, _COUNT_S = 10.0, 60.0, 1.0
"""Host seconds for a connection, without any worker, and between two counts of the workers."""


class DaskCluster:
    """An `Executor` with the workers of a Dask scheduler.

    Args:
        address: The scheduler's, as `tcp://host:8786`.
        run: The function that runs a batch on a worker; it must be importable there.

    Raises:
        ConfigurationError: Dask is not installed, no scheduler answers at the address, or it has no workers.
    """

    def __init__(self, address: str, *, run: Callable[..., tuple[str, float, bytes]] = run_batch) -> None:
        self.address, self._run = address, run
        self._client = _client(address)
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._under_way: dict[str, tuple[Batch, Any]] = {}
        self._plan, self._identity, self._sent = "", b"", 0
        self._places, self._counted_at, self._seen_at = 0, -_COUNT_S, monotonic()
        while not self._count():
            if monotonic() - self._seen_at > _CONNECT_S:
                self.close()
                raise ConfigurationError(f"the Dask scheduler at {address} has no workers; dask worker starts one")

    def begin(self, plan: str, identity: Identity) -> None:
        """See `Executor`."""
        self._plan, self._identity = plan, msgspec.msgpack.encode(identity)

    @property
    def free(self) -> int:
        """See `Executor`. One batch at a time for each thread of a worker: what waits there would die with it."""
        return max(1, self._count()) - len(self._under_way)

    def submit(self, batch: Batch) -> None:
        """See `Executor`."""
        self._sent += 1
        encoded = msgspec.msgpack.encode(batch)
        key = f"enclave-sim-{self._client.id}-{self._sent}"
        future = self._client.submit(self._run, self._plan, self._identity, encoded, key=key, pure=False)
        self._under_way[key] = batch, future
        future.add_done_callback(self._ended.put)

    def finished(self) -> Iterator[Finished]:
        """See `Executor`."""
        with suppress(Empty):
            future = self._ended.get(timeout=POLL_S)
            while True:
                batch, _ = self._under_way.pop(future.key, (None, None))
                if batch is not None:
                    yield self._end_of(batch, future)
                future = self._ended.get_nowait()
        if not self._count() and monotonic() - self._seen_at > _ALONE_S:
            raise EnclaveError(f"the Dask scheduler at {self.address} has had no workers for {_ALONE_S:g} s")

    def _end_of(self, batch: Batch, future: Any) -> Finished:
        from distributed import KilledWorker  # noqa: PLC0415 - an extra

        if future.cancelled():
            raise self._lost()
        try:
            kind, seconds, content = future.result()
        except KilledWorker:
            return Finished(batch, None, died="each worker of Dask that had it died")
        except Exception as error:  # noqa: BLE001 - whatever Dask and the workers' installations come to
            if self._client.status != "running":
                raise self._lost() from None
            cause = error.__cause__ or error  # Dask's own, if the worker or the scheduler cannot load our function
            told = one_line(f"{type(cause).__name__}: {cause}")
            raise EnclaveError(f"the Dask cluster at {self.address} cannot run this version: {told}") from None
        if kind == "error":
            raise EnclaveError(f"the Dask cluster at {self.address}: {content.decode()}")
        if kind == "died":
            return Finished(batch, None, died=content.decode())
        return Finished(batch, tuple(RECORDS.decode(content)), seconds)

    def _lost(self) -> EnclaveError:
        return EnclaveError(f"the Dask scheduler at {self.address} is gone; the same command continues the campaign")

    def _count(self) -> int:
        """Return the number of threads of all workers, as it was at most a second ago."""
        now = monotonic()
        if now - self._counted_at < _COUNT_S:
            return self._places
        try:
            self._places = sum(self._client.nthreads().values())
        except (OSError, TimeoutError):
            raise self._lost() from None
        self._counted_at = now
        if self._places:
            self._seen_at = now
        return self._places

    def close(self) -> None:
        """See `Executor`."""
        with suppress(Exception):  # a scheduler that is gone has nothing to cancel
            self._client.cancel([future for _, future in self._under_way.values()])
        self._under_way.clear()
        with suppress(Exception):
            self._client.close(timeout=_CONNECT_S)


def _client(address: str) -> Any:
    """Connect to a scheduler. Raises ConfigurationError."""
    try:
        from distributed import Client  # noqa: PLC0415 - an extra, which takes a second
    except ModuleNotFoundError:
        raise ConfigurationError(f"a scheduler needs Dask: {installing('dask')}") from None

    class Explicit(Client):  # type: ignore[misc] # it has no annotations
        """A client that is closed by `close` only: the garbage of one that has failed would wait for its loop."""

        def __del__(self) -> None:
            """Do nothing."""

    try:
        return Explicit(address, timeout=_CONNECT_S, set_as_default=False)
    except Exception as error:  # noqa: BLE001 - whatever answers at the address
        told = ": it must be as tcp://host:8786" if isinstance(error, ValueError) else f" within {_CONNECT_S:g} s"
        raise ConfigurationError(f"no Dask scheduler answers at {one_line(address)[:80]}{told}") from None
