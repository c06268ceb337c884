"""The sequences of docs/attestation.md, from the names of a node's keys to accepted cycles."""

import contextlib
import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.tpm.swtpm import Swtpm
from tests.machine.tpm.commands import authorized, code_of, startup
from tests.machine.tpm.conftest import wait_for

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/attestation.md").read_text()
SEQUENCES = re.findall(r"```sh\n# (\w+).*?\n(.*?)```", PAGE.partition("## End to end")[2], re.S)
ADDRESS = "http://127.0.0.1:8040"
LOCKOUT, CLEAR = 0x4000_000A, 0x126
pytestmark = pytest.mark.usefixtures("interruptible")


class Terminals:
    """Runs the lines of a sequence. Background programs are ended at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running = contextlib.ExitStack()
        self.url = ""

    def enter(self, line: str) -> str:
        """The output of the command; of a background program, its first line."""
        words = shlex.split(line.replace(ADDRESS, self.url))
        if words[0] == "enclave-sim":
            words[:1] = [sys.executable, "-m", "enclave_sim"]
        if words[0] == "swtpm":
            self._start(words)
            wait_for(self.folder / "data")
            wait_for(self.folder / "control")
            return ""
        if "serve" in words:
            line = self._start([*words, "--port", "0", "--json"])
            self.url = json.loads(line)["url"]
            return line
        ran = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        assert ran.stderr == ""
        return ran.stdout

    def _start(self, words: list[str]) -> str:
        process = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.running.enter_context(process)
        self.running.callback(process.send_signal, signal.SIGINT if words[0] == sys.executable else signal.SIGKILL)
        assert process.stdout is not None
        return "" if words[0] == "swtpm" else process.stdout.readline()


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    terminals = Terminals(tmp_path)
    with terminals.running:
        yield terminals


def entered(terminals: Terminals, name: str) -> str:
    """The last command, after the others have been entered, with its result as JSON."""
    if name == "swtpm" and shutil.which("swtpm") is None:
        pytest.skip("swtpm is missing")
    *lines, last = dict(SEQUENCES)[name].splitlines()
    for line in lines:
        terminals.enter(line)
    return f"{last} --json"


def test_there_is_a_sequence_for_each_kind_of_tpm() -> None:
    assert [name for name, _ in SEQUENCES] == ["model", "swtpm"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", pytest.param("swtpm", marks=pytest.mark.tpm)])
def test_a_sequence_ends_with_accepted_cycles_and_can_be_repeated(terminals: Terminals, name: str) -> None:
    run = entered(terminals, name)
    for _ in range(2):
        result = json.loads(terminals.enter(run))
        assert (result["outcome"], result["attestation"]["accepted"]) == ("COMPLETED", 3)
    with contextlib.closing(sqlite3.connect(terminals.folder / "verifier.sqlite")) as database:
        kinds = database.execute("SELECT accepted, count(*) FROM verdicts GROUP BY accepted").fetchall()
    assert kinds == [(1, 6)]


@pytest.mark.slow
@pytest.mark.tpm
def test_a_cleared_tpm_keeps_its_keys_and_is_stale(terminals: Terminals) -> None:
    """TPM2_Clear keeps the endorsement seed, and sets the counts to zero."""
    run = entered(terminals, "swtpm")
    for _ in range(2):
        terminals.enter(run)
    tpm = Swtpm(terminals.folder / "data", terminals.folder / "control")
    tpm.power_on()
    for sent in (startup(), authorized(CLEAR, [LOCKOUT], b"")):
        assert code_of(tpm.execute(sent, 0)) == 0
    tpm.close()
    keys = terminals.enter(dict(SEQUENCES)["swtpm"].splitlines()[2].replace("-o node.json", ""))
    assert json.loads(keys)["ak_names"] == json.loads((terminals.folder / "node.json").read_text())["ak_names"]
    result = json.loads(terminals.enter(run))
    assert result["outcome"] == "ATTESTATION_REFUSED"
    assert "freshness: " in result["detail"]
