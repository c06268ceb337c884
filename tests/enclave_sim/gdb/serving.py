"""The command gdb in a process, and the port that it serves."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.enclave_sim.gdb.rig import COMMAND, ROOT


@contextmanager
def process(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *options], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def listening(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with process("--port", "0", *options) as started:
        assert started.stdout is not None
        line = started.stdout.readline().decode()
        assert line.startswith("gdb is served: target remote 127.0.0.1:")
        yield started, int(line.rpartition(":")[2])
