"""Work for a cluster, of which one run always kills the process that makes it. Workers import it by its name."""

import os
import signal
from unittest.mock import patch

import msgspec

from enclave_sim.campaigns.dask_worker import run_batch
from enclave_sim.campaigns.work import Batch
from enclave_sim.campaigns.worker_process import WorkerProcess


def _has(run: tuple[int, int], batch: bytes) -> bool:
    wanted = msgspec.msgpack.decode(batch, type=Batch)
    return wanted.stratum == run[0] and run[1] in wanted.numbers


def kills_its_process(run: tuple[int, int], plan: str, identity: bytes, batch: bytes) -> tuple[str, float, bytes]:
    """As a run at which Unicorn crashes."""
    if not _has(run, batch):
        return run_batch(plan, identity, batch)
    with patch.object(WorkerProcess, "submit", lambda process, _: os.kill(process.pid, signal.SIGKILL)):
        return run_batch(plan, identity, batch)


def kills_its_worker(run: tuple[int, int], plan: str, identity: bytes, batch: bytes) -> tuple[str, float, bytes]:
    """As a run that uses up the memory of its host."""
    if _has(run, batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return run_batch(plan, identity, batch)
