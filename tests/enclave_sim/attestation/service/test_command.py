"""`enclave-sim verifier serve`."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from enclave_sim.attestation import ReferenceValues
from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.cli.app import app
from tests.enclave_sim.attestation.service.certificates import Authority
from tests.enclave_sim.attestation.service.node import BOTH_KEYS, Node, reference_values

pytestmark = pytest.mark.usefixtures("interruptible")

NODE = Node()
MODULE = "enclave_sim"


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "values.json"
    reference_values().save(path)
    return path


@contextmanager
def served(*options: str | Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The first line that the command prints, and its process, which is interrupted at the end if still running."""
    arguments = [sys.executable, "-m", MODULE, "verifier", "serve", "--port", "0", *map(str, options)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline(), process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


def judged(url: str, cycle: int, node: Node = NODE, ca_file: Path | None = None) -> str:
    verifier = RemoteVerifier(url, ca_file=ca_file)
    nonce = verifier.challenge(cycle, node.ak_name)
    return verifier.judge(cycle, node.evidence(nonce, cycle)).message


def test_it_says_where_it_listens_judges_and_ends_at_ctrl_c(reference: Path) -> None:
    with served("--reference", reference) as (line, process):
        assert line.startswith("verifier listens at http://127.0.0.1:")
        assert judged(line.split()[-1], 0).startswith("accepted: ")
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=300)
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.slow
def test_the_database_remembers_across_restarts(reference: Path, tmp_path: Path) -> None:
    options = ("--reference", reference, "--database", tmp_path / "verifier.sqlite", "--json")
    messages = []
    for _ in range(2):
        with served(*options) as (line, _process):
            start = json.loads(line)
            assert start["database"] == str(tmp_path / "verifier.sqlite")
            messages.append(judged(start["url"], 3))
    assert messages[0].startswith("accepted: ")
    assert messages[1].startswith("freshness: ")


@pytest.mark.slow
def test_tls_both_signatures_and_several_reference_files(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "good")
    tls = authority.certify("127.0.0.1")
    values = reference_values()
    ReferenceValues(ak_names=values.ak_names).save(tmp_path / "nodes.json")
    ReferenceValues(
        values.firmware, values.loader_information, values.configurations, values.payloads, values.trust_anchors
    ).save(tmp_path / "images.json")
    options = ("--reference", tmp_path / "nodes.json", "--reference", tmp_path / "images.json", "--post-quantum")
    with served(*options, "--tls-cert", tls.certificate, "--tls-key", tls.key) as (line, _process):
        url = line.split()[-1]
        assert url.startswith("https://")
        assert judged(url, 0, NODE, authority.file).startswith("signature algorithms: ml-dsa-65 is missing")
        assert judged(url, 0, Node(keys=BOTH_KEYS), authority.file).startswith("accepted: ")


def refusal(*options: str | Path) -> str:
    result = CliRunner().invoke(app, ["verifier", "serve", *map(str, options)], env={"COLUMNS": "80"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_cannot_be_served_is_one_line(reference: Path, tmp_path: Path) -> None:
    good = ("--reference", reference)
    assert "--reference" in refusal()
    assert "cannot read" in refusal("--reference", tmp_path / "missing.json")
    assert "expected" in refusal("--reference", __file__)
    assert "is not a database" in refusal(*good, "--database", reference)
    assert "belong together" in refusal(*good, "--tls-cert", reference)
    assert "PEM" in refusal(*good, "--tls-cert", reference, "--tls-key", reference)
    assert "--nonce-lifetime-s" in refusal(*good, "--nonce-lifetime-s", "0")
    assert "--nonce-lifetime-s" in refusal(*good, "--nonce-lifetime-s", "nan")
    assert "--port" in refusal(*good, "--port", "65536")
    assert "cannot listen at 192.0.2.1 port 0: Cannot assign" in refusal(*good, "--host", "192.0.2.1", "--port", "0")
    assert "cannot listen at x.invalid" in refusal(*good, "--host", "x.invalid")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen at 127.0.0.1 port {port}: Address already in use" in refusal(*good, "--port", str(port))


def test_a_missing_library_is_named_with_its_extra(reference: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclave_sim.cli.trust.verifier.find_spec", lambda _name: None)
    assert "needs starlette and uvicorn: pip install '.[verifier]' in" in refusal("--reference", reference)


def test_help_has_an_example_and_loads_nothing_heavy() -> None:
    result = CliRunner().invoke(app, ["verifier", "serve", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "Example: enclave-sim verifier serve --reference values.json" in " ".join(result.stdout.split())
    code = (
        "import sys, enclave_sim.cli.trust.verifier, enclave_sim.attestation.service.client;"
        "print(sorted({'starlette', 'uvicorn', 'httpx', 'cryptography', 'sqlite3', 'asyncio'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "['asyncio']\n"
