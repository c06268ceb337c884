"""A copy of the source tree for mutants and tests, so that the original is not touched."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from tests.mutation.mutants import Mutant
from tests.mutation.plugin import TIMES

SELECTION = "not oracle and not gdb and not slow and not long and not speed"

_HUNG = re.compile(r"Timeout \([0-9:.]+\)!\nThread 0x")
"""What faulthandler prints before it ends the process."""

_PYTEST = ["pytest", "-rfE", "--no-header", "-p", "no:xdist", "-p", "tests.mutation.plugin", "-m", SELECTION]


class Ended(StrEnum):
    """Results of a run of tests."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Outcome:
    """Result of a run of tests."""

    ended: Ended
    seconds: float
    killer: str = ""
    """Test that failed first."""


class Workplace:
    """A copy of the tracked files and of new ones that are not ignored."""

    def __init__(self, original: Path, place: Path) -> None:
        """Copy the tree at `original`, a Git work tree or a plain directory, to `place`, which must not exist."""
        self.root = place
        for name in _files(original):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if (original / name).is_file():
                shutil.copy2(original / name, place / name)
        if (original / ".pytest_cache").is_dir():  # tests keep assembled code there
            shutil.copytree(original / ".pytest_cache", place / ".pytest_cache", dirs_exist_ok=True)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Write the mutant to its file, for the duration of the block."""
        file = self.root / mutant.path
        original, stat = file.read_bytes(), file.stat()
        file.write_text(mutant.source)
        # Compiled files are matched to sources by length and time in seconds: neither may be the original's by chance.
        os.utime(file, (stat.st_atime, stat.st_mtime - 3600))
        try:
            yield
        finally:
            file.write_bytes(original)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def can_import(self, path: str) -> bool:
        """Return True if the module of a file can be imported."""
        module = ".".join(PurePosixPath(path).with_suffix("").parts).removesuffix(".__init__")
        command = [sys.executable, "-c", f"import {module}"]
        return (
            subprocess.run(command, check=False, cwd=self.root, env=self._environment, capture_output=True).returncode
            == 0
        )

    def test(
        self, tests: Sequence[str], *, limit: float | None = None, each: float | None = None, pristine: bool = False
    ) -> Outcome:
        """Run tests until one fails, in the order given.

        Args:
            tests: files, directories and single tests, relative to the root.
            limit: seconds after which the run is ended.
            each: seconds after which a single test is ended, and the run with it.
            pristine: the tree has no mutant, so Python's compiled files may be kept for later runs.
        """
        environment = self._environment
        if pristine:
            del environment["PYTHONDONTWRITEBYTECODE"]
        options = ["-x", "--tb=no"]
        if each is not None:
            options += ["-o", f"faulthandler_timeout={each}", "-o", "faulthandler_exit_on_timeout=true"]
        code, output, seconds = self._run([*_PYTEST, *options], tests, environment, limit)
        if code is None or _HUNG.search(output):
            return Outcome(Ended.TIMED_OUT, seconds)
        return _judged(code, output, seconds)

    def trace(self, tests: Sequence[str], sources: Sequence[str], data: Path) -> dict[str, float]:
        """Run tests under coverage.py, with a context for each test. Returns the seconds that each took.

        Args:
            tests: files and directories, relative to the root.
            sources: files and directories whose lines are of interest.
            data: file for what coverage.py finds.
        """
        wanted = ",".join(f"{source},{source}/*" for source in sources)
        with tempfile.TemporaryDirectory() as place:
            settings, times = Path(place, "settings"), Path(place, "times")
            settings.write_text(
                f"[run]\ncore = ctrace\nrelative_files = true\ndata_file = {data}\ninclude = {wanted}\n"
            )
            coverage = ["coverage", "run", f"--rcfile={settings}", "-m"]
            environment = {**self._environment, TIMES: str(times)}
            self._run([*coverage, *_PYTEST, "-p", "tests.mutation.contexts"], tests, environment)
            found: dict[str, float] = json.loads(times.read_text())
        return found

    def _run(
        self, command: Sequence[str], tests: Sequence[str], environment: dict[str, str], limit: float | None = None
    ) -> tuple[int | None, str, float]:
        """Run a command on tests. Returns its exit code (None if the limit ended it), its output and the seconds."""
        began = time.monotonic()
        # Files, not pipes: processes that the tests leave would keep a pipe open, and a command line has a limit.
        with tempfile.TemporaryFile("w+", errors="replace") as output, tempfile.NamedTemporaryFile("w") as names:
            names.write("\n".join(tests))
            names.flush()
            process = subprocess.Popen(
                [sys.executable, "-m", *command, f"@{names.name}"],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            return code, output.read(), time.monotonic() - began

    @property
    def _environment(self) -> dict[str, str]:
        """Environment of the children: sources of this tree come first, and compiled mutants are not kept."""
        own = {"PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**os.environ, **own}


def _judged(code: int, output: str, seconds: float) -> Outcome:
    if code in {0, 5}:  # 5: no test was selected
        return Outcome(Ended.PASSED, seconds)
    lines = output.splitlines()
    failed = [line.split(" ", 1)[1].split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    killer = failed[0] if failed else f"pytest ended with {code}: {lines[-1] if lines else ''}"
    return Outcome(Ended.FAILED, seconds, killer)


def _files(original: Path) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if (original / ".git").exists():
        return subprocess.run(command, cwd=original, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]
    return [file.relative_to(original).as_posix() for file in original.rglob("*") if file.is_file()]
