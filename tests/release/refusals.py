"""Preconditions for a build: a clean tree, and a changelog that has the version."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path


def version(root: Path) -> str:
    """Read the version from pyproject.toml, its only place."""
    found: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


def refusals(root: Path) -> Iterator[str]:
    """List the reasons why the tree in `root` cannot be released, one sentence each."""
    if changed := _git(root, "status", "--porcelain"):
        yield f"the tree has changes that are not committed: {', '.join(line[3:] for line in changed.splitlines())}"
    name = version(root)
    tag = f"v{name}"
    if _git(root, "tag", "--list", tag) and _git(root, "rev-parse", f"{tag}^{{commit}}") != _git(
        root, "rev-parse", "HEAD"
    ):
        yield f"{tag} is the tag of another commit: raise the version in pyproject.toml"
    notes = _notes(root / "CHANGELOG.md", name)
    if notes is None:
        yield f"CHANGELOG.md has no section '## [{name}] - YYYY-MM-DD'"
    elif not notes:
        yield f"the section of {name} in CHANGELOG.md is empty"


def _notes(changelog: Path, name: str) -> str | None:
    """Return the section of a version (Keep a Changelog 1.1.0), or None."""
    text = changelog.read_text(encoding="utf-8") if changelog.exists() else ""
    found = re.search(
        rf"^## \[{re.escape(name)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return found and found[1].strip()


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.rstrip()
