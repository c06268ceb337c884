"""A worker process: it makes batches until its pipe closes. Whoever started it sees its death as the end of the pipe.

It is a fresh interpreter: not forked, because Unicorn and wasmtime must start clean, and not one of `multiprocessing`,
because daemonic processes, such as Dask's workers, may have none.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec

from enclave_sim.campaigns.outcomes import Record
from enclave_sim.campaigns.work import RECORDS, Batch, Identity, Worker
from enclave_sim.errors import EnclaveError

_END_S = 5.0
_MAIN = "from enclave_sim.campaigns.worker_process import main; main()"


class Finished(msgspec.Struct, frozen=True):
    """A batch that has come to an end."""

    batch: Batch
    records: tuple[Record, ...] | None
    """The records; None if the worker died."""
    seconds: float = 0.0
    """Host seconds that it took."""
    died: str = ""
    """The end of the worker that died, in words."""


class WorkerProcess:
    """One worker process.

    Args:
        plan: The plan, encoded.
        identity: The campaign that it must find the plan to be, as `work.identity_of` returns it.
    """

    def __init__(self, plan: str, identity: Identity) -> None:
        self.pipe, theirs = Pipe()
        words = [sys.executable, "-c", _MAIN, str(theirs.fileno())]
        path = os.pathsep.join(one or os.getcwd() for one in sys.path)
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": path}
        )
        theirs.close()
        with suppress(OSError):
            self.pipe.send_bytes(msgspec.msgpack.encode((plan, identity)))

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    def submit(self, batch: Batch) -> None:
        """Begin a batch."""
        with suppress(OSError):  # if it has died, `receive` finds that
            self.pipe.send_bytes(msgspec.msgpack.encode(batch))

    def receive(self, batch: Batch) -> Finished:
        """Wait for the end of the batch that was submitted. Raises the error of a worker that cannot begin."""
        try:
            kind, seconds = msgspec.msgpack.decode(self.pipe.recv_bytes(), type=tuple[str, float])
            content = self.pipe.recv_bytes()
        except (EOFError, OSError, msgspec.MsgspecError):
            return Finished(batch, None, died=self._death())
        if kind == "error":
            raise EnclaveError(content.decode())
        return Finished(batch, tuple(RECORDS.decode(content)), seconds)

    def _death(self) -> str:
        """Describe the end of the process."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        code = self._process.returncode
        if code is not None and code < 0:
            return f"the worker was ended by {signal.Signals(-code).name}"
        return f"the worker ended with code {code}"

    def end(self) -> None:
        """Kill the process."""
        self.pipe.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)


def main() -> None:
    """Make batches until the other end closes the pipe. This is the main function of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the coordinator, which ends its workers
    with Connection(int(sys.argv[1])) as pipe, suppress(EOFError, OSError):
        _work(pipe)


def _work(pipe: "Connection[bytes, bytes]") -> None:
    from time import perf_counter  # noqa: PLC0415 - of the host, which no run sees

    plan, identity = msgspec.msgpack.decode(pipe.recv_bytes(), type=tuple[str, Identity])
    worker: Worker | None = None
    while True:
        batch = msgspec.msgpack.decode(pipe.recv_bytes(), type=Batch)
        try:
            worker = worker or Worker(plan, identity)
            begun = perf_counter()
            records = worker.run(batch)
        except EnclaveError as error:
            pipe.send_bytes(msgspec.msgpack.encode(("error", 0.0)))
            pipe.send_bytes(str(error).encode())
            return
        pipe.send_bytes(msgspec.msgpack.encode(("records", perf_counter() - begun)))
        pipe.send_bytes(msgspec.msgpack.encode(records))
