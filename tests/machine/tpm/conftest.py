"""A swtpm with one bank of PCRs, SHA-256, like the model."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.tpm.swtpm import Swtpm
from tests.machine.tpm.commands import authorized, code_of, selection, startup

BANKS = selection((0x0004, 0), (0x000B, 0xFFFFFF), (0x000C, 0), (0x000D, 0))
PLATFORM = 0x4000_000C


def wait_for(path: Path) -> None:
    """Wait until somebody listens at a socket, which exists slightly earlier."""
    for _ in range(30_000):
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(str(path))
            return
        time.sleep(0.01)
    pytest.fail("swtpm does not come up")


class SwtpmProcess:
    """A new swtpm, and its sockets."""

    def __init__(self, directory: Path) -> None:
        self.data, self.control = directory / "data", directory / "control"
        command = ["swtpm", "socket", "--tpm2", f"--tpmstate=dir={directory}", f"--server=type=unixio,path={self.data}"]
        command += [f"--ctrl=type=unixio,path={self.control}", "--flags=not-need-init", "--locality=allow-set-locality"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for path in (self.control, self.data):
                wait_for(path)
        except BaseException:
            self.stop()
            raise

    def connect(self) -> Swtpm:
        return Swtpm(self.data, self.control)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def swtpm_process(tmp_path: Path) -> Iterator[SwtpmProcess]:
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is missing")
    running = SwtpmProcess(tmp_path)
    yield running
    running.stop()


class Swtpms:
    """One swtpm after the other: swtpm 0.7 leaks a file descriptor at each reset, and fails when they are used up."""

    RESETS = 200

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._left = 0
        self._running: SwtpmProcess | None = None
        self._swtpm: Swtpm | None = None

    def get(self) -> Swtpm:
        """The one to use for the next few resets. It is before or after TPM2_Startup."""
        self._left -= 1
        if self._swtpm is None or self._left < 0:
            self.stop()
            self._left = self.RESETS
            self._running = SwtpmProcess(self._factory.mktemp("swtpm"))
            self._swtpm = self._running.connect()
            self._swtpm.execute(startup(), 0)
            assert code_of(self._swtpm.execute(authorized(0x12B, [PLATFORM], BANKS), 0)) == 0  # PCR_Allocate
            self._swtpm.power_on()
        return self._swtpm

    def stop(self) -> None:
        if self._swtpm is not None and self._running is not None:
            self._swtpm.close()
            self._running.stop()


@pytest.fixture(scope="module")
def swtpms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpms]:
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is missing")
    made = Swtpms(tmp_path_factory)
    yield made
    made.stop()
