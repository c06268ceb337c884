"""A release is refused where it must be, has every file, and has the same bytes each time."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.release.building import build, check_metadata, left_out
from tests.release.refusals import refusals

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n\n## [1.2.3] - 2030-04-05\n\n### Added\n\n- All of it.\n\n## [1.2.2] - 2030-01-01\n"


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Change")


def test_a_clean_tree_with_its_section_is_not_refused(tree: Path) -> None:
    assert list(refusals(tree)) == []


@pytest.mark.parametrize("name", ["CHANGELOG.md", "another"])
def test_a_tree_with_changes_is_refused(tree: Path, name: str) -> None:
    with (tree / name).open("a") as file:
        file.write("\n")
    assert list(refusals(tree)) == [f"the tree has changes that are not committed: {name}"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("## [1.2.3] - 2030-04-05", "## [1.2.3]", "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'"),
        ("1.2.3", "1x2.3", "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'"),
        ("### Added\n\n- All of it.\n", "", "the section of 1.2.3 in CHANGELOG.md is empty"),
    ],
)
def test_a_version_without_a_section_is_refused(tree: Path, old: str, new: str, reason: str) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace(old, new))
    commit(tree)
    assert list(refusals(tree)) == [reason]


def test_a_version_that_another_commit_has_is_refused(tree: Path) -> None:
    git(tree, "tag", "v1.2.3")
    assert list(refusals(tree)) == []
    (tree / "another").touch()
    commit(tree)
    assert list(refusals(tree)) == ["v1.2.3 is the tag of another commit: raise the version in pyproject.toml"]


def copy(to: Path) -> Path:
    """Copy the files known to git from the work tree."""
    for name in git(ROOT, "ls-files", "-z").rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
    return to


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git work tree")
def test_two_builds_are_the_same_bytes_and_have_every_file(tmp_path: Path) -> None:
    first = build(copy(tmp_path / "first"), tmp_path / "out", epoch=1_700_000_000)
    before = os.umask(0o077)
    try:
        second = build(copy(tmp_path / "elsewhere" / "second"), tmp_path / "again", epoch=1_700_000_000)
    finally:
        os.umask(before)
    assert [path.suffix for path in first] == [".whl", ".gz"]
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert left_out(tmp_path / "first", first[0]) == []
    (tmp_path / "first" / "firmware" / "another.elf").touch()
    assert left_out(tmp_path / "first", first[0]) == ["firmware/another.elf"]
    check_metadata(first)
