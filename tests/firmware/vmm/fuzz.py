"""Fuzzes the VMM with libFuzzer: `python -m tests.firmware.vmm.fuzz [RUNS]`, without end by default.

It needs clang with its sanitizers (tests/oracle/install.sh). `.vmm/corpus/` keeps what was found between runs, and
begins with `corpus.zip`. An input that crashes is written to `.vmm/`, and the exit code is 1. `--merge` writes
`corpus.zip` again: the smallest inputs that together reach what the corpus reaches.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from shutil import which

from firmware.build import VMM
from tests.firmware.vmm.cases import CASES, VALID
from tests.firmware.vmm.comparing import guest

CORPUS = Path(__file__).with_name("corpus.zip")
FINDINGS = Path(".vmm")
_SOURCE = Path(__file__).with_name("fuzz.c")
_FLAGS = (
    *("-std=gnu17", "-O1", "-g", "-fno-builtin", "-Wall", "-Wextra", "-Werror"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
    *("-mllvm", "-asan-stack=0"),  # a trap leaves frames behind
)
_OURS = ("-handle_segv=0", "-handle_fpe=0", "-handle_ill=0", "-handle_usr2=0")
"""Traps of the guest; fuzz.c tells them from faults of the VMM."""
_MOST_BYTES = 1000
_WHOLE_ARENA = b"\xff"
_GUESTS = 150


def missing() -> str | None:
    """Return why this host cannot fuzz, or None."""
    clang = which("clang")
    if clang is None:
        return "clang is not installed"
    runtimes = Path(clang).resolve().parents[1].glob("lib/clang/*/lib/*/libclang_rt.fuzzer*")
    return None if any(runtimes) else "clang has no libFuzzer here"


def build(program: Path, extra: Iterable[str] = ()) -> Path:
    """Compile the VMM with sanitizers and libFuzzer."""
    files = [*sorted(VMM.glob("*.c")), _SOURCE]
    subprocess.run(["clang", *_FLAGS, *extra, f"-I{VMM}", *map(str, files), "-o", str(program)], check=True)
    return program


def seeds() -> list[bytes]:
    """Return inputs to begin with: the modules of the other tests, and guests."""
    modules = [case.module for case in CASES.values()] + [*VALID.values()]
    modules += [guest(seed).module for seed in range(_GUESTS)]
    return [_WHOLE_ARENA + module for module in modules if len(module) < _MOST_BYTES]


def unpack(directory: Path) -> None:
    """Write the corpus and the seeds to a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    if CORPUS.exists():
        with zipfile.ZipFile(CORPUS) as archive:
            archive.extractall(directory)
    for number, seed in enumerate(seeds()):
        (directory / f"seed-{number:04}").write_bytes(seed)


def pack(directory: Path) -> None:
    """Write `corpus.zip`, the same for the same inputs."""
    with zipfile.ZipFile(CORPUS, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, content in enumerate(sorted(file.read_bytes() for file in directory.iterdir())):
            archive.writestr(zipfile.ZipInfo(f"{number:04}"), content, zipfile.ZIP_DEFLATED)


def fuzz(program: Path, corpus: Path, findings: Path, *options: str) -> int:
    """Run the fuzzer on a corpus, which it extends. Return its exit code: 0 if nothing was found.

    The peak size that Linux reports of a process is at least that of the one that started it, so it is not limited.
    """
    command = [str(program), *_OURS, f"-max_len={_MOST_BYTES}", f"-artifact_prefix={findings}/", "-print_final_stats=1"]
    command += ["-rss_limit_mb=0", "-malloc_limit_mb=2048"]
    return subprocess.run([*command, *options, str(corpus)], check=False).returncode


def main(arguments: list[str]) -> int:
    """Fuzz, or merge the corpus."""
    reason = missing()
    if reason is not None:
        print(f"{reason}; see tests/oracle/install.sh", file=sys.stderr)
        return 2
    corpus = FINDINGS / "corpus"
    unpack(corpus)
    program = build(FINDINGS / "fuzz")
    if arguments == ["--merge"]:
        with tempfile.TemporaryDirectory() as directory:
            code = fuzz(program, Path(directory), FINDINGS, "-merge=1", str(corpus))
            pack(Path(directory))
        return code
    return int(bool(fuzz(program, corpus, FINDINGS, *(f"-runs={each}" for each in arguments))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
