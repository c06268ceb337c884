"""The code blocks on the pages, and their treatment by a reader.

Most are run unchanged: `python` as a separate program, `console` and `sh` command by command. A block of `text` is the
output of the preceding block. Exceptions are marked by a comment before the block, which readers do not see:

    <!-- example: save as kernel.S -->      the reader writes this file
    <!-- example: shows beacon.jsonl -->    the file's content, with `...` for lines left out
    <!-- example: from beacon.jsonl -->     lines that follow each other in that file
    <!-- example: varies -->                keys, digests and sizes differ each time
    <!-- example: fails -->                 a file of tests, one of which fails
    <!-- example: needs gdb -->             it is run where this program is installed
    <!-- example: slow -->                  it takes seconds: the whole page is left to the slow set
    <!-- example: not run, REASON -->       it cannot run: `NotRun` has the reasons

Several of these have a semicolon between them. A complete block inside a comment is run like any other: it prepares
what the page takes for granted.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^(?:<!-- example: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TESTS = re.compile(r"# (test_\w+\.py)\n")


class NotRun(StrEnum):
    """The reasons for not running a block. Its commands and options must still exist."""

    INSTALLS = "it installs"
    """It changes the host: packages, virtual environments."""
    MINUTES = "it takes minutes"
    STAYS = "it stays"
    """It serves or waits for a person until stopped."""
    YOURS = "it needs your files"
    """It names a file or a service that only the reader has."""
    FORM = "it shows a form"
    """No program: a format, a picture, a protocol, the part of a file."""
    ELSEWHERE = "it has a test"
    """A separate test runs it, because it needs other programs or several terminals; the marker names the file."""


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: Path
    start: int
    """Offset of its text in the page."""
    language: str
    text: str
    words: str
    """The marker before it; empty if there is none."""

    @property
    def place(self) -> str:
        """`boot.md:14`, its first line."""
        line = self.page.read_text().count("\n", 0, self.start) + 1
        return f"{self.page.name}:{line}"

    @property
    def not_run(self) -> tuple[NotRun, str] | None:
        """The reason why it is not run, and the file of its test; None if it is run."""
        words = self.argument("not run,")
        if words is None:
            return None
        reason = next((one for one in NotRun if words.startswith(one)), None)
        assert reason is not None, f"{self.place}: {words!r} is not one of {', '.join(NotRun)}"
        return reason, words.removeprefix(reason).strip()

    @property
    def test_file(self) -> str | None:
        """The name of the test file in a Python block; None for a program."""
        named = _TESTS.match(self.text) if self.language == "python" else None
        return named[1] if named else None

    def argument(self, role: str) -> str | None:
        """The words after a role, such as `save as`; None if the block does not have it, empty if there are none."""
        found = re.search(rf"(?:^|; ){re.escape(role)}(?: ([^;]*))?(?:;|$)", self.words)
        return (found[1] or "") if found else None

    def says(self, role: str) -> bool:
        """Whether the marker has this role."""
        return self.argument(role) is not None


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    return [
        Block(page, found.start(3), found[2], found[3], found[1] or "") for found in _BLOCK.finditer(page.read_text())
    ]


def fences(page: Path) -> int:
    """The number of blocks, counted by their fences alone."""
    return len(re.findall(r"^\s*(?:```|~~~)", page.read_text(), re.MULTILINE)) // 2
