"""Commands on a page: run, or only checked."""

import contextlib
import importlib.util
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from enclave_sim.cli.app import app
from enclave_sim.files.reading import MissingFile
from tests.documents.blocks import ROOT
from tests.enclave_sim.cli.command import Ended, command

_OURS = "enclave-sim"
_SHELL = re.compile(r"[|<>;&$]")
_STAY = {"inspect", "gdb", "serve"}
"""The commands that wait for a person."""


@dataclass(frozen=True)
class Command:
    """A command line, without its prompt and its comment."""

    line: str
    code: int | None
    """The exit code in the comment; None if there is none."""

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)


def commands(text: str) -> Iterator[Command]:
    """The commands of a block of `sh`: lines, with those that end in a backslash joined to the next."""
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=False, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = " ".join(lexer)
        code = re.search(r"#.*\bexit code (\d+)", line)
        if words:
            yield Command(words, int(code[1]) if code else None)


class Shell:
    """Runs commands in the current directory, most of ours in this process, and keeps variables."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}

    def run(self, line: str) -> Ended:
        """Run one command, or only check it if it would not end."""
        if assigned := re.fullmatch(r"(\w+)=(\$\(.*\))", line):
            ended = _process(["sh", "-c", f"printf %s {assigned[2]}"])
            self.variables[assigned[1]] = ended.output
            return Ended(ended.code, "", ended.error)
        line = re.sub(r"\$(\w+)", lambda found: self.variables.get(found[1], found[0]), line)
        words = shlex.split(line)
        if words[0] == "make" or (words[0] == _OURS and _STAY & {*words}):
            look_at(words)
            return Ended(0, "", "")
        if words[0] == _OURS and not _SHELL.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", line)):
            if words[1] == "boot":  # it writes to the descriptor itself
                return _process([sys.executable, "-m", "enclave_sim", *words[1:]])
            return command(*words[1:])
        return _process(["sh", "-c", line])


def _process(words: Sequence[str]) -> Ended:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    ran = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return Ended(ran.returncode, ran.stdout, ran.stderr)


def look_at(words: Sequence[str]) -> None:
    """Raise an error if one of our commands or its options do not exist. Nothing is run."""
    program, *arguments = itertools.takewhile(lambda word: word not in {"|", ">", "&&"}, words)
    if program == _OURS:
        with contextlib.suppress(MissingFile):  # the reader's own
            _parse(app, arguments)
    elif program == "make":
        line = ["make", "--dry-run", *(word for word in arguments if word.isupper() or word == word.lower())]
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    elif arguments[:1] == ["-m"] and arguments[1].partition(".")[0] == "tests":
        assert importlib.util.find_spec(arguments[1]) is not None, arguments[1]


def _parse(group: click.Command, arguments: list[str]) -> None:
    try:
        context = group.make_context(None, arguments)
    except click.BadParameter as error:
        raise error.__cause__ or error.__context__ or error from None
    if isinstance(group, click.Group):
        name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, name
        _parse(found, rest)
