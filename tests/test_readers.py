"""User-named files are opened only through `enclave_sim.files`, which has limits."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPENING = {"open", "fdopen", "FileIO", "read_bytes", "read_text", "load_cert_chain", "load_verify_locations", "connect"}
OPENING |= {"create_default_context", "fromfile", "mmap"}
OTHERS = {
    ("attestation/service/client.py", "ssl.create_default_context"): "of a text, not of a file",
    ("attestation/service/database.py", "sqlite3.connect"): "reads pages, and checks that it is a regular file",
    ("campaigns/work.py", "path.read_bytes"): "of this package",
    ("campaigns/store.py", "sqlite3.connect"): "reads pages, and checks that it is a regular file",
    ("attestation/service/server.py", "context.load_cert_chain"): "after the files have been read with a limit",
    ("cli/options/tpm.py", "os.open"): "the directory, for its lock",
    ("cli/runs/inspect.py", "source.open"): "a run",
    ("cli/runs/recording.py", "RecordingWriter.open"): "writes",
    ("inspector/serving/screenshots.py", "source_of(('counter',), EnclaveOptions.of(cycles=2)).open"): "a run",
    ("cli/streams.py", "os.open"): "the null device",
    ("labs/lab.py", "files(f'enclave_sim.labs.{self.name}').joinpath('lab.toml').read_text"): "of this package",
    ("recording/recording.py", "RecordingWriter.open"): "writes",
}
"""Allowed calls, by file and function, with the reason."""


def calls(source: str) -> Iterator[str]:
    """Find the functions called or passed in a source that may open a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            for one in (node.func, *node.args):
                if isinstance(one, ast.Attribute | ast.Name) and ast.unparse(one).rpartition(".")[2] in OPENING:
                    yield ast.unparse(one)


def test_every_file_is_read_with_a_limit() -> None:
    package = ROOT / "enclave_sim"
    found = {
        (path.relative_to(package).as_posix(), call)
        for path in sorted(package.rglob("*.py"))
        if path.parent != package / "files"
        for call in calls(path.read_text("utf-8"))
    }
    assert sorted(found - OTHERS.keys()) == [], "use enclave_sim.files, or say in OTHERS why this is right"
    assert sorted(OTHERS.keys() - found) == [], "these are gone: remove them from OTHERS"


@pytest.mark.parametrize(
    "source",
    ["open(p)", "p.open('rb').read()", "Path(p).read_bytes()", "p.read_text()", "map(open, ps)", "io.FileIO(p)"],
)
def test_a_way_around_is_noticed(source: str) -> None:
    assert list(calls(source))
