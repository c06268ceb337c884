"""A swtpm with one bank of PCRs, SHA-256, as the model has it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from machine.tpm.swtpm import Swtpm

from tests.machine.tpm.commands import authorized, code_of, selection, startup

BANKS = selection((0x0004, 0), (0x000B, 0xFFFFFF), (0x000C, 0), (0x000D, 0))
PLATFORM = 0x4000_000C


@dataclass
class Running:
    """A swtpm process and its sockets."""

    process: subprocess.Popen[bytes]
    data: Path
    control: Path


def start_swtpm(directory: Path) -> Running:
    running = Running(
        subprocess.Popen(
            [
                "swtpm",
                "socket",
                "--tpm2",
                f"--tpmstate=dir={directory}",
                f"--server=type=unixio,path={directory}/data",
                f"--ctrl=type=unixio,path={directory}/control",
                "--flags=not-need-init",
                "--locality=allow-set-locality",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ),
        directory / "data",
        directory / "control",
    )
    for _ in range(500):
        if running.data.exists() and running.control.exists():
            return running
        time.sleep(0.01)
    running.process.kill()
    pytest.fail("swtpm does not come up")


@pytest.fixture
def swtpm_process(tmp_path: Path) -> Iterator[Running]:
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is missing")
    running = start_swtpm(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    """Before TPM2_Startup, and in no need of it: tests power it on."""
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is missing")
    running = start_swtpm(tmp_path_factory.mktemp("swtpm"))
    tpm = Swtpm(running.data, running.control)
    tpm.execute(startup(), 0)
    assert code_of(tpm.execute(authorized(0x12B, [PLATFORM], BANKS), 0)) == 0
    yield tpm
    tpm.close()
    running.process.kill()
    running.process.wait()
