"""swtpm and tpm2-tools, where they are installed."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enclave_sim.attestation import Evidence, SignedQuote
from enclave_sim.attestation.formats.event_log import EventLog, PcrEvent, parse_event_log

MISSING = [name for name in ("swtpm", "tpm2_checkquote", "tpm2_eventlog", "tpm2_quote") if not shutil.which(name)]
PCRS = "sha256:8,9,10,11,12,13"
ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"


def run(*command: str, tcti: str = "none", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TPM2TOOLS_TCTI": tcti}
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@dataclass(frozen=True)
class Swtpm:
    """A running swtpm and a folder for the tools' files."""

    folder: Path

    def tool(self, *command: str) -> None:
        done = run(*command, tcti=f"swtpm:path={self.folder / 'tpm'}", folder=self.folder)
        assert done.returncode == 0, (command, done.stderr)
        run("tpm2_flushcontext", "-t", tcti=f"swtpm:path={self.folder / 'tpm'}", folder=self.folder)

    def create_ak(self, hierarchy: str = "e", attributes: str = ATTRIBUTES) -> bytes:
        """TPM2B_PUBLIC of a new primary key; its context is in `ak.ctx`, its Name in `ak.name`."""
        scheme = ("-g", "sha256", "-G", "ecc256:ecdsa-sha256:null")
        self.tool("tpm2_createprimary", "-C", hierarchy, *scheme, "-a", attributes, "-c", "ak.ctx")
        self.tool("tpm2_readpublic", "-c", "ak.ctx", "-o", "ak.pub", "-n", "ak.name", "-q", "ak.qn")
        return (self.folder / "ak.pub").read_bytes()

    def measure(self, events: tuple[PcrEvent, ...]) -> None:
        for event in events:
            self.tool("tpm2_pcrextend", f"{event.pcr}:sha256={event.digest.hex()}")

    def quote(self, extra_data: bytes, public: bytes, pcrs: str = PCRS) -> SignedQuote:
        given = ("-c", "ak.ctx", "-l", pcrs, "-q", extra_data.hex(), "-g", "sha256")
        self.tool("tpm2_quote", *given, "-m", "attest", "-s", "signature")
        return SignedQuote((self.folder / "attest").read_bytes(), (self.folder / "signature").read_bytes(), public)

    def evidence(self, nonce: bytes, cycle: int, public: bytes, log: tuple[PcrEvent, ...]) -> Evidence:
        quote = self.quote(nonce + cycle.to_bytes(4, "big"), public)
        return Evidence(nonce, cycle, (quote,), EventLog(log).encode())


@contextmanager
def swtpm() -> Iterator[Swtpm]:
    """A new swtpm, started up; its folder has a short path, because a socket needs one."""
    with tempfile.TemporaryDirectory(prefix="tpm", dir="/tmp") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        sockets = ("--server", f"type=unixio,path={folder / 'tpm'},disconnect", "--ctrl")
        control = (f"type=unixio,path={folder / 'tpm'}.ctrl", "--flags", "not-need-init,startup-clear")
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'state'}", *sockets, *control]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                for _ in range(200):
                    if (folder / "tpm.ctrl").exists():
                        break
                    time.sleep(0.02)
                yield Swtpm(folder)
            finally:
                process.terminate()


def checkquote(folder: Path, evidence: Evidence, index: int, public: bytes) -> subprocess.CompletedProcess[str]:
    """`tpm2_checkquote` over a quote, its challenge and the replayed log."""
    quote = evidence.quotes[index]
    values = folder / "values"
    for name, data in (("attest", quote.attest), ("signature", quote.signature), ("public", public)):
        (folder / name).write_bytes(data)
    values.write_bytes(parse_event_log(evidence.event_log).pcr_values(tuple(range(8, 14))))
    blobs = ("-u", "public", "-m", "attest", "-s", "signature", "-f", "values", "-l", PCRS, "-g", "sha256")
    extra_data = evidence.nonce + evidence.cycle.to_bytes(4, "big")
    return run("tpm2_checkquote", *blobs, "-q", extra_data.hex(), folder=folder)


def replayed(text: str) -> dict[int, bytes]:
    """The PCR values that `tpm2_eventlog` prints."""
    lines = text.partition("\npcrs:\n")[2].splitlines()[1:]
    pairs = [line.split(":") for line in lines]
    return {int(pcr): bytes.fromhex(value.strip().removeprefix("0x")) for pcr, value in pairs}
