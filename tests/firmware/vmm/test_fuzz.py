"""A fixed number of executions under the fuzzer, with sanitizers. `make fuzz-vmm` runs more."""

from pathlib import Path

import pytest

from tests.firmware.vmm.fuzz import CORPUS, build, fuzz, missing, unpack

EXECUTIONS = 300_000
pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=missing() or "")]


def found(directory: Path, corpus: Path, *options: str, extra: list[str] | None = None) -> int:
    unpack(corpus)
    return fuzz(build(directory / "fuzz", extra or []), corpus, directory, "-seed=1", *options)


def test_no_execution_fails(tmp_path: Path) -> None:
    assert found(tmp_path, tmp_path / "corpus", f"-runs={EXECUTIONS}") == 0


@pytest.mark.parametrize("file", ["reader.c", "operands.c"])
def test_a_validator_without_the_checks_of_a_file_is_found(tmp_path: Path, file: str) -> None:
    leave_out = f'-DHOLDS(condition)=((condition)||__builtin_strcmp(__FILE_NAME__,"{file}")==0)'
    assert found(tmp_path, tmp_path / "corpus", f"-runs={EXECUTIONS}", extra=[leave_out, "-Wno-error"]) != 0


def test_the_corpus_is_small() -> None:
    assert CORPUS.stat().st_size < 200_000
