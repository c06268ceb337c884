"""Writing files: all of a file or nothing, all of several or none, and one line with the requested name."""

import os
import re
from pathlib import Path

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.writing import new_directory, output_file, write_file, write_files, write_new


def test_several_files_are_written_together(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"older")
    write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("bad", ["none/c", "directory", "full"])
def test_if_one_cannot_be_written_none_is(bad: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "b").write_bytes(b"older")
    if Path("/dev/full").exists():
        (tmp_path / "full").symlink_to("/dev/full")
    elif bad == "full":
        pytest.skip("no /dev/full")
    before = sorted(os.listdir(tmp_path))
    for contents in (["a", "b", bad], [bad, "a", "b"], ["a", bad, "b"]):
        with pytest.raises(ConfigurationError, match=f"cannot write {tmp_path / bad}: "):
            write_files({tmp_path / name: b"newer" for name in contents})
        assert sorted(os.listdir(tmp_path)) == before
        assert (tmp_path / "b").read_bytes() == b"older"


def test_a_disk_that_is_full_at_the_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (write_file, write_new):
        with pytest.raises(ConfigurationError, match=f"cannot write {tmp_path / 'a'}: No space left on device"):
            write(tmp_path / "a", b"content")
        assert list(tmp_path.iterdir()) == []


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    write_new(tmp_path / "a", b"1", mode=0o600)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match="it exists already and is not overwritten"):
        write_new(tmp_path / "a", b"2")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"1"]


def test_a_link_is_followed_and_a_name_may_be_as_long_as_can_be(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target/file")
    write_file(tmp_path / "link", b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / "file").read_bytes() == b"1"
    write_file(tmp_path / ("x" * 255), b"2")
    with pytest.raises(ConfigurationError, match="File name too long"):
        write_file(tmp_path / ("x" * 256), b"2")
    (tmp_path / "loop").symlink_to("loop")
    write_file(tmp_path / "loop", b"3")
    assert (tmp_path / "loop").read_bytes() == b"3"


@pytest.mark.parametrize(("name", "why"), [("a\0b", "no file can have this name"), ("..", "it is a directory")])
def test_a_name_that_can_be_none_is_one_line(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(why)), output_file(tmp_path / name, "write"):
        pytest.fail("the block was entered")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_made_in_vain_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with new_directory(tmp_path / "old" / "new" / "newer"):
        (tmp_path / "old" / "new" / "newer" / "file").touch()
    with pytest.raises(KeyboardInterrupt), new_directory(tmp_path / "old" / "vain" / "vainer"):
        raise KeyboardInterrupt
    for path in (tmp_path / "old/new/newer/file", tmp_path / "old/new/newer/file/further"):
        reason = f"cannot write to {path}: {tmp_path}/old/new/newer/file is a file; name a directory"
        with pytest.raises(ConfigurationError, match=re.escape(reason)), new_directory(path):
            pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "new", "newer", "old"]
