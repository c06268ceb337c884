"""Reading files that the user names: refusals, their messages, and memory use."""

import os
import re
import socket
import tracemalloc
from pathlib import Path

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.files import reading
from enclave_sim.files.reading import MissingFile, open_file, read_file, read_start, read_utf8

LIMIT = 1 << 20


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, LIMIT - 1, LIMIT])
def test_a_file_up_to_the_limit_is_read_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert read_file(tmp_path / "file", LIMIT) == content
    assert read_start(tmp_path / "file", 8) == content[:8]


def test_one_byte_more_is_refused_and_the_limit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(LIMIT + 1))
    with pytest.raises(ConfigurationError, match=rf"cannot read {path}: it is larger than 1 MiB"):
        read_file(path, LIMIT)
    with pytest.raises(ConfigurationError, match="larger than 7 bytes"):
        read_file(path, 7)
    with pytest.raises(ConfigurationError, match="larger than 1 GiB"):
        read_file(_sparse(tmp_path, reading.IMAGE + 1), reading.IMAGE)


def test_a_file_that_has_no_size_or_grows_is_read_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000))
    size = os.stat_result((0o100600, *(0,) * 9))
    monkeypatch.setattr(os, "fstat", lambda _: size)
    assert read_file(path, 200_000) == bytes(200_000)
    with pytest.raises(ConfigurationError, match="larger than"):
        read_file(path, 199_999)


def test_what_is_too_large_takes_no_memory(tmp_path: Path) -> None:
    path = _sparse(tmp_path, 3 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError):
            read_file(path, reading.IMAGE)
        assert tracemalloc.get_traced_memory()[1] < LIMIT
        read_file(_sparse(tmp_path, 1000), reading.IMAGE)
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()


def test_only_a_regular_file_is_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{directory}/socket")  # the whole path may be too long
        finally:
            os.close(directory)
    for name, why in (
        (tmp_path / "pipe", "it is a pipe; it must be a regular file"),
        ("/dev/zero", "it is a device; it must be a regular file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "socket", "No such device or address"),
        ("/proc/self/mem", "Input/output error"),
        ("zero\0byte", "no file can have this name"),
        (tmp_path / ("long" * 2000), "File name too long"),
    ):
        assert read_start(name, 4) == b""
        with pytest.raises(ConfigurationError, match="cannot read ") as refused:
            read_file(name, LIMIT)
        assert str(refused.value).endswith(f": {why}")
        assert not isinstance(refused.value, MissingFile)


def test_a_missing_file_has_an_error_of_its_own(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none" / "none"):
        with pytest.raises(MissingFile, match=rf"cannot read {path}: No such file or directory"):
            read_file(path, LIMIT)
        assert read_start(path, 4) == b""


def test_a_file_that_is_read_piece_by_piece_raises_the_same_errors() -> None:
    with open_file("/proc/self/mem") as file, pytest.raises(ConfigurationError, match="/proc/self/mem: Input/output"):
        file.readline(100)


def _sparse(directory: Path, size: int) -> Path:
    path = directory / f"sparse{size}"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_the_readme_has_the_limits() -> None:
    page = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    units = {"MiB": 1 << 20, "GiB": 1 << 30}
    listed = [int(number) * units[unit] for number, unit in re.findall(r"^\| (\d+) (MiB|GiB) \|", page, re.M)]
    assert listed == [reading.SMALL, reading.DOCUMENT, reading.MODULE, reading.IMAGE]


@pytest.mark.parametrize("data", [b"a = 1\nb", b"\xef\xbb\xbfa = 1\nb", b"a = 1\r\nb", b"\xef\xbb\xbfa = 1\r\nb"])
def test_a_text_may_begin_with_a_byte_order_mark_and_have_crlf(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "text").write_bytes(data)
    assert read_utf8(tmp_path / "text", LIMIT, "a letter") == "a = 1\nb"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("a".encode("utf-16"), "it is UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff\0a", "it is UTF-16 text; save it as UTF-8"),
        (b"ab\xff", "it is not UTF-8 text at byte 2"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/text is not a letter: {why}"):
        read_utf8(tmp_path / "text", LIMIT, "a letter")
