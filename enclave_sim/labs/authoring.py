"""A new course: its file, its secret, and the key that signs receipts."""

import secrets
from pathlib import Path

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.writing import new_directory, write_file
from enclave_sim.labs.catalogue import LABS
from enclave_sim.labs.course import SECRET_BYTES
from enclave_sim.payload.keys import SigningKey

COURSE, SECRET, SIGNER = "course.toml", "course.secret", "course"
_HEAD = """\
# Points and deadlines of the course, for enclave-sim lab grade --course. Remove the labs that you do not use.
name = "{name}"
secret = "{secret}"           # cases that only this course can give out; never hand it out
anchor = "{signer}.anchor.json"      # receipts signed by the course's key say when work was handed in
# submissions = "submitted.toml"   # or this file does: a table for each student, with a time for each lab
late_share = 1.0                   # the share of its points that late work keeps
"""


def new_course(directory: Path) -> tuple[str, ...]:
    """Make the directory of a course.

    Args:
        directory: A directory that does not exist.

    Returns:
        The names of its files.

    Raises:
        ConfigurationError: It exists, or cannot be made.
    """
    if directory.exists() or directory.is_symlink():
        raise ConfigurationError(f"{directory} exists; name a directory to make")
    key = SigningKey.generate(SIGNER, development=False)
    with new_directory(directory):
        write_file(directory / COURSE, _course(directory.name).encode())
        write_file(directory / SECRET, f"{secrets.token_hex(SECRET_BYTES)}\n".encode(), mode=0o600)
        key.save(directory / f"{SIGNER}.key.json")
        key.anchor().save(directory / f"{SIGNER}.anchor.json")
    return tuple(sorted(one.name for one in directory.iterdir()))


def _course(name: str) -> str:
    lines = [_HEAD.format(name=name.replace("\\", "").replace('"', ""), secret=SECRET, signer=SIGNER)]
    for lab in LABS:
        points = ", ".join(f"{part.name} = {part.points}" for part in lab.text.part)
        lines.append(f"[labs.{lab.name}]\n# deadline = 2026-03-01T23:59:00Z\npoints = {{ {points} }}\n")
    return "\n".join(lines)
