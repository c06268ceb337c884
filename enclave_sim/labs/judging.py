"""Judging what a student has handed in: points by part, messages, and digests of everything that was judged."""

from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256

import msgspec

from enclave_sim.labs.lab import Lab
from machine.host_limit import HostLimit

HOST_SECONDS = 60
"""Limit of host time for one judgement. It ends a hang; virtual time limits every run long before."""


class PartMark(msgspec.Struct, frozen=True):
    """The result of one part."""

    part: str
    """The part's name."""
    points: int
    """The points earned."""
    of: int
    """The points of the part."""
    messages: tuple[str, ...]
    """One for each wrong answer."""


class Judgement(msgspec.Struct, frozen=True):
    """The result of one student in one lab. The same files give the same judgement, everywhere."""

    lab: str
    """The lab's name."""
    version: int
    """The lab's version."""
    student: str
    """The student's ID."""
    points: int
    """The points earned."""
    of: int
    """The points of the lab."""
    parts: tuple[PartMark, ...]
    """The results of its parts."""
    runs: tuple[str, ...]
    """The digests of the judged runs."""
    files: dict[str, str]
    """The SHA-256 of each file handed in."""


def judge(
    lab: Lab, student: str, files: Mapping[str, bytes], host_seconds: int | None = HOST_SECONDS, key: bytes = b""
) -> Judgement:
    """Judge the files of a student.

    Args:
        lab: The lab.
        student: The student's ID.
        files: The files handed in, by name; others are ignored.
        host_seconds: Limit of host time, or None.
        key: The key of the student's case.

    Returns:
        The judgement.

    Raises:
        ConfigurationError: The ID is malformed.
        HostLimitReached: The limit of host time expired.
    """
    given = {name: files[name] for name in lab.handed_in if name in files}
    with ExitStack() as limits:
        if host_seconds is not None:
            limits.enter_context(HostLimit(host_seconds))
        judged = lab.judge(lab.case(student, key), given)
    marks = []
    for part in lab.text.part:
        checks = judged.checks[part.name]
        passed = sum(check.right for check in checks)
        messages = tuple(dict.fromkeys(check.message for check in checks if not check.right))
        marks.append(PartMark(part.name, part.points * passed // len(checks), part.points, messages))
    return Judgement(
        lab.name,
        lab.version,
        student,
        sum(mark.points for mark in marks),
        lab.points,
        tuple(marks),
        judged.runs,
        {name: sha256(data).hexdigest() for name, data in sorted(given.items())},
    )
