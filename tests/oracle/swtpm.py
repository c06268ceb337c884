"""A swtpm for QEMU, and its PCRs after QEMU has exited. QEMU only uses swtpm's control socket, over which it passes the
socket for commands (CMD_SET_DATAFD). A killed QEMU does not send CMD_SHUTDOWN, so swtpm keeps its state, and the next
client may pass another socket.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from machine.tpm.constants import Alg, Rc
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import pcrs_of
from tests.oracle.qemu import QemuError

MISSING = shutil.which("swtpm") is None
_CMD_SET_DATAFD = (0x10).to_bytes(4, "big")
_SECONDS = 300


@dataclass(frozen=True)
class Swtpm:
    """A running swtpm with a control socket and, if requested, a socket for commands."""

    process: "subprocess.Popen[bytes]"
    control: Path
    data: Path

    @property
    def options(self) -> tuple[str, ...]:
        """QEMU's arguments for this swtpm as a TPM 2.0 with a CRB."""
        chardev = ("-chardev", f"socket,id=tpm-control,path={self.control}")
        return (*chardev, "-tpmdev", "emulator,id=tpm,chardev=tpm-control", "-device", "tpm-crb,tpmdev=tpm")

    def pcrs(self, numbers: tuple[int, ...]) -> dict[int, bytes]:
        """The current PCRs of the SHA-256 bank after QEMU was killed: without a reset or startup in between."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_SECONDS)
            control.connect(str(self.control))
            ours, theirs = socket.socketpair()
            with ours, theirs:
                socket.send_fds(control, [_CMD_SET_DATAFD], [theirs.fileno()])
                if control.recv(4) != bytes(4):
                    raise QemuError("swtpm takes no other socket for commands")
                ours.settimeout(_SECONDS)
                return {number: _read(ours, number) for number in numbers}


def _read(data: socket.socket, number: int) -> bytes:
    """TPM2_PCR_Read of one PCR."""
    data.sendall(tpm.pcr_read(tpm.selection((Alg.SHA256, 1 << number))))
    response = data.recv(4096)
    if tpm.code_of(response) != Rc.SUCCESS or not response:
        raise QemuError(f"swtpm answered TPM2_PCR_Read with {response.hex()}")
    (value,) = pcrs_of(response).values
    return value


@contextmanager
def running(folder: Path, *, commands: bool = False) -> Iterator[Swtpm]:
    """A swtpm with its permanent state, such as its seeds, in `folder`; with or without a socket for commands."""
    control, data = folder / "control", folder / "data"
    command = ["swtpm", "socket", "--tpm2", f"--tpmstate=dir={folder}", f"--ctrl=type=unixio,path={control}"]
    if commands:
        command += [f"--server=type=unixio,path={data}", "--flags=not-need-init", "--locality=allow-set-locality"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + _SECONDS
            while not all(path.exists() for path in ((control, data) if commands else (control,))):
                if process.poll() is not None or time.monotonic() > end:
                    raise QemuError("swtpm does not come up")
                time.sleep(0.01)
            yield Swtpm(process, control, data)
        finally:
            process.kill()
            process.wait()
            for path in (control, data):
                path.unlink(missing_ok=True)
