"""A running swtpm as the TPM: commands on its data socket, power and locality on its control socket.

    swtpm socket --tpm2 --tpmstate dir=D --server type=unixio,path=DATA --ctrl type=unixio,path=CONTROL \
        --flags not-need-init --locality allow-set-locality

swtpm serves one client at a time, and must be at locality 0 when the connection begins. Its answers come from another
process, so runs with it are not reproducible.
"""

import contextlib
import select
import socket
import time
from os import PathLike, fspath
from typing import NoReturn

from machine.errors import MachineError
from machine.state import State
from machine.tpm.backend import TpmUnavailable
from machine.tpm.messages import HEADER_BYTES, Header

MAX_RESPONSE_BYTES = 4096
_CMD_INIT = (2).to_bytes(4, "big") + bytes(4)
_CMD_SET_LOCALITY = (5).to_bytes(4, "big")


class Swtpm:
    """Connection to the Unix sockets `path` (data) and `control` (None for none).

    A wait for swtpm takes at most `timeout_s` seconds. After the first failure the connection is closed, and every
    command fails. Raises TpmUnavailable if nothing listens, MachineError if the time limit is not positive.
    """

    def __init__(
        self, path: str | PathLike[str], control: str | PathLike[str] | None = None, *, timeout_s: float = 10.0
    ) -> None:
        if not timeout_s > 0:
            raise MachineError(f"the time limit of a TPM is a positive number of seconds, not {timeout_s}")
        self._timeout_s = timeout_s
        self._locality = 0
        self._broken: str | None = None
        self._data = _connect(fspath(path), timeout_s)
        try:
            self._control = None if control is None else _connect(fspath(control), timeout_s)
        except TpmUnavailable:
            self._data.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._broken = self._broken or "it was closed"
        self._data.close()
        if self._control is not None:
            self._control.close()

    def power_on(self) -> None:
        """Reset the TPM by CMD_INIT. Without a control socket nothing happens: restart swtpm instead."""
        if self._control is not None:
            self._command(self._control, _CMD_INIT, "CMD_INIT")

    def execute(self, command: bytes, locality: int) -> bytes:
        """Execute one command: see `TpmBackend`. Localities above 0 need the control socket."""
        if locality != self._locality:
            if self._control is None:
                raise TpmUnavailable(f"swtpm: locality {locality} needs the control socket")
            self._command(self._control, _CMD_SET_LOCALITY + bytes([locality]), "CMD_SET_LOCALITY")
            self._locality = locality
        self._send(self._data, command)
        deadline = time.monotonic() + self._timeout_s
        header = self._receive(self._data, HEADER_BYTES, deadline)
        size = Header.of(header).size
        if not HEADER_BYTES <= size <= MAX_RESPONSE_BYTES:
            self._fail(f"a response cannot have {size} bytes")
        return header + self._receive(self._data, size - HEADER_BYTES, deadline)

    def save_state(self) -> State:
        """Raise MachineError, because the state is in another process."""
        raise MachineError("the state of swtpm cannot be saved: snapshots need the TPM model")

    def load_state(self, state: State) -> None:  # noqa: ARG002 - the contract's shape
        """Raise MachineError, because the state is in another process."""
        raise MachineError("the state of swtpm cannot be set: snapshots need the TPM model")

    def _command(self, control: socket.socket, request: bytes, name: str) -> None:
        self._send(control, request)
        result = int.from_bytes(self._receive(control, 4, time.monotonic() + self._timeout_s), "big")
        if result:
            self._fail(f"{name} ended with {result:#x}")

    def _send(self, to: socket.socket, data: bytes) -> None:
        if self._broken is not None:
            raise TpmUnavailable(f"swtpm: {self._broken}")
        try:
            if select.select([to], [], [], 0)[0] and to.recv(1, socket.MSG_PEEK):
                self._fail("it sent more than it was asked for")
            to.sendall(data)
        except OSError as error:
            self._fail(f"the connection broke ({error.strerror or error})")

    def _receive(self, source: socket.socket, size: int, deadline: float) -> bytes:
        data = b""
        while len(data) < size:
            try:
                source.settimeout(max(deadline - time.monotonic(), 0.001))
                part = source.recv(size - len(data))
            except TimeoutError:
                self._fail(f"no answer within {self._timeout_s:g} s")
            except OSError as error:
                self._fail(f"the connection broke ({error.strerror or error})")
            if not part:
                self._fail(f"the connection ended after {len(data)} of {size} bytes")
            data += part
        return data

    def _fail(self, why: str) -> NoReturn:
        self._broken = why
        with contextlib.suppress(OSError):
            self.close()
        raise TpmUnavailable(f"swtpm: {why}")


def _connect(path: str, timeout_s: float) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout_s)
    try:
        client.connect(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        client.close()
        raise TpmUnavailable(f"swtpm: cannot connect to {path}: {getattr(error, 'strerror', None) or error}") from None
    return client
