"""Bookmarks are kept in a file of links, one on a line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.bookmark_file import MOST, read_bookmarks, write_bookmarks
from enclave_sim.time_travel import Link, Session, link_to_here
from tests.enclave_sim.time_travel.links import LINKS


@pytest.mark.slow
@given(links=st.lists(LINKS.filter(lambda link: len(str(link)) <= 4096), max_size=5))
def test_bookmarks_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, links: list[Link]) -> None:
    path = tmp_path_factory.mktemp("marks") / "marks.txt"
    assert read_bookmarks(path) == ()
    write_bookmarks(path, links)
    assert list(read_bookmarks(path)) == links


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"# comment\n\nnonsense\n", "line 3: 'nonsense' is not a link"),
        (b"\xff\xfe", "it is UTF-16 text"),
        (b"enclave-sim:1\n", "line 1: the link "),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "marks.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        read_bookmarks(path)


def test_a_file_with_too_many_bookmarks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "marks.txt"
    link = link_to_here(Session("beacon"))
    write_bookmarks(path, [link] * MOST)
    assert len(read_bookmarks(path)) == MOST
    write_bookmarks(path, [link] * (MOST + 1))
    with pytest.raises(ConfigurationError, match=f"at most {MOST} are possible"):
        read_bookmarks(path)
