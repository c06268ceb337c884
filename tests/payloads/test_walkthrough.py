"""The walkthrough of docs/payloads.md: its commands, run in an empty directory, print what the page shows."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()
EXIT = re.compile(r"\(exit code (\d+)\)\n")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def comparable(text: str) -> str:
    """Replace what differs each time: key ids, digests and sizes."""
    return re.sub(r"\d+ bytes", "N bytes", re.sub(r"\b[0-9a-f]{32,64}\b", "HEX", text))


@pytest.mark.slow
def test_the_walkthrough_prints_what_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "hello.wat").write_text(block("wat"))
    first, *steps = re.split(r"^\$ ", block("console"), flags=re.MULTILINE)
    assert first == ""
    for step in steps:
        command, _, shown = step.partition("\n")
        program, *arguments = shlex.split(command)
        assert program == "enclave-sim"
        code = EXIT.search(shown)
        run = subprocess.run(
            [sys.executable, "-m", "enclave_sim", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode == (int(code[1]) if code else 0), (command, run.stderr)
        assert comparable(run.stdout) == comparable(EXIT.sub("", shown)), command
    assert len(steps) == 7
