"""A client of the protocol over a socket pair, with the server in a thread; and the real gdb."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.gdb.protocol.channel import FileChannel
from enclave_sim.gdb.protocol.packets import Control, Packet, PacketReader, encoded
from enclave_sim.gdb.server import serve_one
from enclave_sim.time_travel.travel import Travel

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "enclave_sim", "gdb")
needs_gdb = pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb on this host")
_PATIENCE_S = 300
_NEWER = re.compile(r"Reached end of recorded history; stopping\.\n.*\n")
"""The message of gdb 16 and later at the end of history."""
_CHECKED_OUT_LATER = "warning: Source file is more recent than executable.\n"
"""gdb's warning if git wrote the source of the committed image after the image."""


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until it holds, which takes longer on a busy host."""
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def computed_s(process: subprocess.Popen[Any]) -> float:
    """The processor time of a process so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


class Client:
    """Sends packets and takes answers, acknowledging them as gdb does."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.output = ""
        """The output of O packets so far."""
        self.controls: list[Control] = []
        self._reader = PacketReader()
        self._packets: list[bytes] = []
        connection.settimeout(_PATIENCE_S)

    def send(self, data: bytes) -> None:
        self.connection.sendall(encoded(data))

    def answer(self) -> bytes:
        while True:
            while self._packets:
                data = self._packets.pop(0)
                if not (data.startswith(b"O") and data != b"OK"):
                    return data
                self.output += bytes.fromhex(data[1:].decode()).decode()
            self.receive()

    def receive(self) -> None:
        """Receive the server's next packet."""
        received = self.connection.recv(1 << 16)
        if not received:
            raise EOFError("the server is gone")
        for item in self._reader.feed(received):
            if isinstance(item, Packet):
                self._packets.append(item.data)
                self.connection.sendall(b"+")
            else:
                self.controls.append(item)

    def ask(self, data: bytes) -> bytes:
        self.send(data)
        return self.answer()

    def monitor(self, line: str) -> str:
        before = len(self.output)
        assert self.ask(b"qRcmd," + line.encode().hex().encode()) == b"OK"
        return self.output[before:]

    def number(self, packet: bytes) -> int:
        """A number in the target's byte order."""
        return int.from_bytes(bytes.fromhex(self.ask(packet).decode()), "little")


@contextmanager
def served(session: Travel[Any]) -> Iterator[Client]:
    """A client of a server in this process, which ends with the scope. Exceptions of the server are raised here."""
    failures: list[BaseException] = []

    def serve() -> None:
        with theirs:
            try:
                serve_one(session, FileChannel.of(theirs))
            except BaseException as error:  # noqa: BLE001 - it is raised again
                failures.append(error)

    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with ours:
            client = Client(ours)
            assert client.ask(b"qSupported:swbreak+;hwbreak+").startswith(b"PacketSize=")
            yield client
    finally:
        thread.join(_PATIENCE_S)
        assert not thread.is_alive()
        if failures:
            raise failures[0]


def run_gdb(script: str, directory: Path) -> str:
    """The output of the real gdb for a script, in which `enclave-sim` is this tree's program."""
    binaries = directory / "bin"
    binaries.mkdir(exist_ok=True)
    program = binaries / "enclave-sim"
    python = f"PYTHONPATH='{ROOT}' exec '{sys.executable}' -m enclave_sim"
    program.write_text(f"#!/bin/sh\ncd '{ROOT}' && {python} \"$@\"\n")
    program.chmod(0o755)
    (directory / "script.gdb").write_text(script)
    ended = subprocess.run(
        ["gdb", "-nx", "-batch", "-iex", f"set remotetimeout {_PATIENCE_S}", "-x", directory / "script.gdb"],
        cwd=ROOT,
        env={"PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    output = ended.stdout.replace(_CHECKED_OUT_LATER, "")
    return _NEWER.sub("No more reverse-execution history.\n", output)


def document(client: Client, name: bytes, piece: int) -> bytes:
    whole = b""
    while True:
        answer = client.ask(b"qXfer:%b:%x,%x" % (name, len(whole), piece))
        whole += answer[1:]
        if answer[:1] == b"l":
            return whole
        assert answer[:1] == b"m"
