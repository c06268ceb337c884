"""The kernel of docs/boot.md, built as described there."""

import subprocess
import sys
from pathlib import Path

from tests.documents.blocks import ROOT, blocks
from tests.documents.commands import commands

_PAGE = ROOT / "docs" / "boot.md"


def build(directory: Path) -> Path:
    """Write its files to a directory, and build `kernel.elf` there."""
    for block in blocks(_PAGE):
        if (name := block.argument("save as")) in {"kernel.S", "link.ld"}:
            (directory / str(name)).write_text(block.text)
    scripts = (block.text for block in blocks(_PAGE) if block.language == "sh")
    (command,) = (one for text in scripts for one in commands(text) if one.line.endswith("-o kernel.elf"))
    subprocess.run([sys.executable, *command.words[1:]], cwd=directory, check=True)
    return directory / "kernel.elf"
