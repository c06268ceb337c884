"""docs/replay.md shows what the commands really print."""

import re
import shlex
from pathlib import Path

import pytest

from tests.enclave_sim.cli.command import command
from tests.enclave_sim.forging import Line, forge

PAGE = (Path(__file__).parents[4] / "docs/replay.md").read_text()


def test_the_page_shows_the_real_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", PAGE, re.M)
    assert len(shown) >= 9
    for line, expected in shown:
        words = shlex.split(line)
        if words[0] == "head":
            Path("cut.jsonl").write_bytes(Path("counter.jsonl").read_bytes()[: int(words[2])])
            continue
        if "forged.jsonl" in words:
            forge(Path("counter.jsonl"), change_a_signal)
        ended = command(*words[1:])
        output = ended.output + ended.error
        if expected.endswith("\n...\n"):
            output = output[: len(expected) - 4] + "...\n"
        assert output == expected


def change_a_signal(lines: list[Line]) -> None:
    assert lines[55]["kind"] == "signal_emitted"
    lines[55]["value"] = 2


def test_the_programs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command("run", "counter", "--record", "counter.jsonl")
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, "docs/replay.md", "exec"), {})
