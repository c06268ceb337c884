"""The commands on every lab's page run, as a student copies them, in the directory in which the lab was started."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

from enclave_sim.cli.app import app
from enclave_sim.labs.catalogue import LABS
from enclave_sim.labs.lab import Lab
from tests.enclave_sim.cli.command import command

LEFT_OUT = ("inspect", "lab")
"""Commands that need a person, or that the page names with a placeholder."""


def lines(page: str) -> list[str]:
    return [one.strip() for one in re.findall(r"^    ((?:enclave-sim|cp|python3) .*)$", page, re.MULTILINE)]


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])
def test_the_commands_of_a_page_run(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("lab", "start", lab.name, "--student", "ada").code == 0
    run = 0
    for line in lines((tmp_path / f"lab-{lab.name}" / "README.md").read_text()):
        program, *words = shlex.split(line)
        if program == "cp":
            shutil.copy(*words)
        elif program == "python3":
            exec(words[-1], {})
        elif words[0] not in LEFT_OUT:
            ended = command(*words)
            assert ended.code not in (2, 70), f"{line}: {ended.error}"
            run += 1
    assert run >= 2


def unknown_options(line: str) -> list[str]:
    """Return the options of a command that it does not have."""
    words = shlex.split(line)[1:]
    found: click.Command = app
    while isinstance(found, click.Group) and words and (inner := found.get_command(click.Context(found), words[0])):
        found = inner
        words.pop(0)
    names = {"--help"} | {name for one in found.params for name in (*one.opts, *one.secondary_opts)}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in names]


@pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])
def test_commands_in_the_text_have_the_options_that_they_are_given(lab: Lab) -> None:
    parts = [text for part in lab.text.part for text in (part.task, *part.hints)]
    texts = [lab.text.background, lab.text.debrief, *parts]
    commands = [one for text in texts for one in re.findall(r"`(enclave-sim [^`]+)`", text)]
    commands += [one for text in texts for one in lines(text) if one.startswith("enclave-sim")]
    assert {one: unknown for one in commands if (unknown := unknown_options(one))} == {}
