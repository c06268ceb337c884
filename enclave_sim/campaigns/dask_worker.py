"""The work of a worker of Dask: it hands a batch to a worker process of its own, and returns what that has sent.

A run that ends its process does not end the worker of Dask, and the worker's threads share no enclave. Dask sees
nothing but bytes and this function's name.
"""

from threading import Lock, Timer

import msgspec

from enclave_sim.campaigns.work import Batch, Identity
from enclave_sim.campaigns.worker_process import WorkerProcess
from enclave_sim.errors import EnclaveError

_IDLE_S = 60.0
"""Host seconds after which a process without work ends, whatever became of the coordinator."""
_Campaign = tuple[str, Identity]
_lock = Lock()
_idle: list[tuple[_Campaign, WorkerProcess, Timer]] = []


def run_batch(plan: str, identity: bytes, batch: bytes) -> tuple[str, float, bytes]:
    """Make the runs of a batch.

    Args:
        plan: The plan, encoded.
        identity: The campaign's `Identity`, encoded.
        batch: The `Batch`, encoded.

    Returns:
        `records`, `died` or `error`; the host seconds that it took; the records, encoded, or a text.
    """
    campaign = plan, msgspec.msgpack.decode(identity, type=Identity)
    process = _take(campaign) or WorkerProcess(*campaign)
    wanted = msgspec.msgpack.decode(batch, type=Batch)
    process.submit(wanted)
    try:
        found = process.receive(wanted)
    except EnclaveError as error:
        process.end()
        return "error", 0.0, str(error).encode()
    if found.records is None:
        process.end()
        return "died", 0.0, found.died.encode()
    _keep(campaign, process)
    return "records", found.seconds, msgspec.msgpack.encode(found.records)


def _take(campaign: _Campaign) -> WorkerProcess | None:
    """Return an idle process of a campaign, and end those of others."""
    with _lock:
        waiting, _idle[:] = _idle[:], []
        for one in waiting:
            one[2].cancel()
        own = [process for other, process, _ in waiting if other == campaign]
    for other, process, _ in waiting:
        if other != campaign:
            process.end()
    for process in own[1:]:
        _keep(campaign, process)
    return own[0] if own else None


def _keep(campaign: _Campaign, process: WorkerProcess) -> None:
    """Let a process wait for a batch."""
    timer = Timer(_IDLE_S, _retire, [process])
    timer.daemon = True
    with _lock:
        _idle.append((campaign, process, timer))
    timer.start()


def _retire(process: WorkerProcess) -> None:
    """End a process that has waited in vain."""
    with _lock:
        left = [one for one in _idle if one[1] is not process]
        waits, _idle[:] = len(left) < len(_idle), left
    if waits:
        process.end()
