"""A file of bookmarks: a link on each line. It can be edited and sent; `enclave-sim inspect --bookmarks` takes it."""

from collections.abc import Iterable
from pathlib import Path

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, MissingFile, read_utf8
from enclave_sim.files.writing import write_file
from enclave_sim.time_travel.link import Link, LinkError

MOST = 200
"""The maximum number of bookmarks."""
_HEADING = "# Bookmarks of enclave-sim inspect: one link a line.\n"


def read_bookmarks(path: Path) -> tuple[Link, ...]:
    """Read the bookmarks of a file; none if it does not exist. Raises ConfigurationError, which names a wrong line."""
    try:
        lines = read_utf8(path, SMALL, "a file of bookmarks").splitlines()
    except MissingFile:
        return ()
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            try:
                found.append(Link.parse(line))
            except LinkError as error:
                raise ConfigurationError(f"{path}, line {number}: {error}") from None
    if len(found) > MOST:
        raise ConfigurationError(f"{path} has {len(found):,} bookmarks, and at most {MOST} are possible")
    return tuple(found)


def write_bookmarks(path: Path, links: Iterable[Link]) -> None:
    """Write a file of bookmarks. Raises ConfigurationError if that is not possible."""
    write_file(path, (_HEADING + "".join(f"{link}\n" for link in links)).encode())
