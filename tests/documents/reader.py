"""A reader who follows a page from its first block to its last, in a separate folder."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.documents import commands, few_examples
from tests.documents.blocks import ROOT, Block
from tests.documents.comparing import agrees, exit_code

_STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A part of a page that shows output."""

    block: Block
    start: int
    """Offset in the page."""
    text: str
    printed: str
    right: bool


class Reader:
    """Runs the blocks of one page in the current directory, in order."""

    def __init__(self) -> None:
        self._shell = commands.Shell()
        self._printed: str | None = None

    def follow(self, block: Block) -> Iterator[Shown]:
        """Execute a block; yield each part with output.

        Raises:
            AssertionError: A program or a command fails, or the purpose of the block is not marked.
        """
        if block.not_run is not None or _missing(block):
            self._printed = None
            if block.language in {"sh", "console"}:
                text = "".join(step[1] + "\n" for step in _STEP.finditer(block.text)) or block.text
                for command in commands.commands(text):
                    commands.look_at(command.words)
        elif (name := block.argument("save as")) is not None:
            Path(name).write_text(block.text)
        elif (name := block.argument("shows")) is not None:
            yield self._shown(block, Path(name).read_text())
        elif (name := block.argument("from")) is not None:
            printed = Path(name).read_text()
            yield Shown(block, block.start, block.text, printed, block.text in printed)
        elif block.language == "text" and self._printed is not None:
            yield self._shown(block, self._printed)
            self._printed = None
        elif block.test_file is not None:
            _tests(block)
        elif block.language == "python":
            self._printed = _program(block)
        elif block.language == "sh":
            self._printed = "".join(self._run(block, one.line, one.code) for one in commands.commands(block.text))
        elif block.language == "console":
            yield from self._console(block)
        else:
            raise AssertionError(f"{block.place}: say in a marker what the reader does with it (tests/documents)")

    def _console(self, block: Block) -> Iterator[Shown]:
        for step in _STEP.finditer(block.text):
            text, code = exit_code(step[2])
            (one,) = commands.commands(step[1])
            printed = self._run(block, one.line, code if code is not None else one.code)
            varies = block.says("varies")
            right = not text or agrees(text, printed, varies=varies)
            if code is not None:
                printed += f"(exit code {code})\n"
            yield Shown(block, block.start + step.start(2), step[2], printed, right)

    def _run(self, block: Block, line: str, code: int | None) -> str:
        ended = self._shell.run(line)
        assert ended.code == (code or 0), f"{block.place}: {line}: exit code {ended.code}: {ended.error}"
        return ended.output + ended.error

    @staticmethod
    def _shown(block: Block, printed: str) -> Shown:
        right = agrees(block.text, printed, varies=block.says("varies"))
        return Shown(block, block.start, block.text, printed, right)


def _missing(block: Block) -> bool:
    program = block.argument("needs")
    return program is not None and shutil.which(program) is None


def _program(block: Block) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def _tests(block: Block) -> None:
    """Run the tests of a block with pytest. Its output goes to a file, for a block that shows lines from it.

    Properties draw a tenth of the examples that a reader's would: what they say is tested elsewhere.
    """
    file = Path(block.test_file or "")
    file.write_text(block.text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", few_examples.__name__, file.name]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    file.with_suffix(".txt").write_text(ran.stdout)
    assert ran.returncode == block.says("fails"), f"{block.place}: {ran.stdout}"
