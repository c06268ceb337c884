"""Kernels built from changed sources. What is unchanged is compiled once in each process."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Protocol

from firmware.build import SIGNATURES, SOURCES, VMM, build


class Edit(Protocol):
    """A change of a copy of the sources."""

    def apply(self, directory: Path) -> None:
        """Change the copy in a directory, where `vmm` has the sources of the VMM."""


def copy_sources(directory: Path, edits: Iterable[Edit]) -> None:
    """Put the changed sources into a directory."""
    shutil.copytree(SOURCES, directory, dirs_exist_ok=True)
    shutil.copytree(VMM, directory / "vmm", dirs_exist_ok=True)
    shutil.copytree(SIGNATURES, directory / "signatures", dirs_exist_ok=True)
    for edit in edits:
        edit.apply(directory)


def build_changed(edits: Iterable[Edit]) -> tuple[bytes, str]:
    """Return the image and its description."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        copy_sources(directory, edits)
        return build(directory, directory / "vmm", directory / "signatures", Path(_compiled(os.getpid()).name))


@cache
def _compiled(_process: int) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()
