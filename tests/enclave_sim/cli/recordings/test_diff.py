"""`enclave-sim diff`: output and exit codes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.cli.exit_codes import ExitCode
from tests.enclave_sim.cli.command import assert_refused, command


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "two.jsonl", tmp_path / "three.jsonl"
    for path, cycles in zip(found, "23", strict=True):
        command("run", "counter", "--cycles", cycles, "--attestation", "off", "--record", path)
    return found


def test_equal_recordings_are_one_line(paths: tuple[Path, Path]) -> None:
    ended = command("diff", paths[0], paths[0])
    digest = command("run", "counter", "--cycles", "2", "--attestation", "off", "--quiet").output.split()[1]
    assert (ended.code, ended.output) == (0, f"equal: 123 events, digest {digest}\n")


def test_what_differs_is_shown(paths: tuple[Path, Path]) -> None:
    ended = command("diff", *paths)
    assert (ended.code, ended.error) == (ExitCode.DIFFERENT, "")
    lines = ended.output.splitlines()
    assert lines[0].startswith(f"- {paths[0]}: 123 events, digest ")
    assert lines[1].startswith(f"+ {paths[1]}: 161 events, digest ")
    for wanted in (
        "  cycles",
        "- 2",
        "+ 3",
        "They diverge at event 100:",
        "In common: 123 events",
        "+ and 30 more events",
    ):
        assert wanted in lines
    assert [line.split() for line in lines if line.endswith("  cycle_began")] == [["0", "1", "cycle_began"]]
    assert sum(line.startswith("Difference ") for line in lines) == 1


def test_as_json(paths: tuple[Path, Path]) -> None:
    ended = command("diff", *paths, "--json")
    told = json.loads(ended.output)
    assert ended.code == ExitCode.DIFFERENT
    assert (told["equal"], told["events"], told["aligned"], told["only_first"]) == (False, [123, 161], 123, {})
    assert told["header"] == [{"name": "cycles", "first": 2, "second": 3}]
    assert told["divergence"]["first"][0]["kind"] == "annihilation_began"
    same = json.loads(command("diff", paths[0], paths[0], "--json").output)
    assert (same["equal"], same["divergence"]) == (True, None)


def test_damage_is_one_line(paths: tuple[Path, Path]) -> None:
    paths[1].write_text("{}\n")
    assert_refused(command("diff", *paths), "three.jsonl is not a recording; line 1")


def on_terminal(*arguments: Path, **environment: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "enclave_sim", "diff", *arguments],
        stdout=theirs,
        env=os.environ | {"TERM": "xterm", "NO_COLOR": ""} | environment,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    process.wait()
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_colour_repeats_what_the_marks_say(paths: tuple[Path, Path]) -> None:
    coloured, plain = on_terminal(*paths), on_terminal(*paths, NO_COLOR="1")
    assert plain == command("diff", *paths).output
    assert "\x1b[31m- " in coloured
    assert "\x1b[32m+ " in coloured
    assert coloured.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "") == plain
