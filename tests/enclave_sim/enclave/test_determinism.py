"""The same inputs give the same digest: in another process, directory, environment and Python."""

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from enclave_sim import Enclave
from tests.sampling import sampled

ROOT = Path(__file__).parents[3]
RUN = "from enclave_sim import Enclave; print(Enclave({!r}, cycles=3, quantum_ns=200_000).run().digest)"


def digest_of(command: list[str], payload: str, **options: object) -> str:
    result = subprocess.run(
        [*command, "-c", RUN.format(payload)],
        check=True,
        capture_output=True,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    return str(result.stdout.strip())


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    return {name: Enclave(name, cycles=3, quantum_ns=200_000).run().digest for name in ("counter", "digest", "abyss")}


NAMES, SEEDS = ("counter", "digest", "abyss"), ("0", "1", "4242")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"),
    sampled(product(NAMES, SEEDS), ("digest", "1")),
)
def test_in_other_processes_with_other_hash_seeds_from_another_directory(
    reference: dict[str, str], name: str, seed: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONOPTIMIZE": seed}
    assert digest_of([sys.executable], name, cwd=tmp_path, env=environment) == reference[name]


@pytest.mark.slow
def test_under_load(reference: dict[str, str]) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        assert digest_of([sys.executable], "digest") == reference["digest"]
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("name", sampled(NAMES, "counter"))
def test_without_native_code_and_address_space_reservation(reference: dict[str, str], name: str) -> None:
    """`portable` is the path of a host that can neither load machine code nor reserve address space."""
    assert Enclave(name, cycles=3, quantum_ns=200_000, portable=True).run().digest == reference[name]


def test_a_different_input_gives_a_different_digest(reference: dict[str, str]) -> None:
    assert Enclave("counter", cycles=3, quantum_ns=200_001).run().digest != reference["counter"]
    assert Enclave("counter", cycles=4, quantum_ns=200_000).run().digest != reference["counter"]


def pythons() -> dict[str, str]:
    """Every installed CPython from 3.11 on, except the one that runs the tests."""
    found: dict[str, str] = {}
    places = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for minor in range(11, 20):
        for place in places:
            candidate = shutil.which(f"python3.{minor}", path=place)
            if candidate is None or f"3.{minor}" in found:
                continue
            probe = [
                candidate,
                "-c",
                "import sys, json; print(json.dumps([sys.version_info[:2], sys.implementation.name]))",
            ]
            answer = subprocess.run(probe, capture_output=True, text=True, check=False)
            if answer.returncode == 0 and json.loads(answer.stdout) == [[3, minor], "cpython"]:
                found[f"3.{minor}"] = candidate
    found.pop(f"3.{sys.version_info.minor}", None)
    return found


@pytest.mark.slow
def test_under_another_cpython_of_the_machine(reference: dict[str, str], tmp_path: Path) -> None:
    found = pythons()
    if not found:
        pytest.skip("no other CPython here")
    version, python = min(found.items())
    runs_the_same(reference, python, tmp_path / version)


@pytest.mark.long
def test_under_every_other_cpython_of_the_machine(reference: dict[str, str], tmp_path: Path) -> None:
    for version, python in sorted(pythons().items()):
        runs_the_same(reference, python, tmp_path / version)


def runs_the_same(reference: dict[str, str], python: str, tmp_path: Path) -> None:
    """Install the project for another Python in a separate directory, and compare digests."""
    tmp_path.mkdir()
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    inside = str(tmp_path / "venv" / "bin" / "python")
    options = ["--quiet", "--no-compile", "--disable-pip-version-check", "--no-input"]
    subprocess.run([inside, "-m", "pip", "install", *options, str(ROOT)], check=True)
    for name, digest in reference.items():
        assert digest_of([inside], name, cwd=tmp_path) == digest
