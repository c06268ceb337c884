"""Judging what a student has handed in: points by part, messages, and digests of everything that was judged."""

from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256
from time import process_time

import msgspec

from enclave_sim.errors import HostLimitReached
from enclave_sim.labs.lab import Lab
from enclave_sim.recording.text import one_line
from machine.host_limit import HostLimit

PROCESSOR_SECONDS = 18
"""Limit of the host's processor time for one judgement, of which each piece has a part (bounded.py)."""
_LONGEST = 500
"""Limit of characters of a message. It may quote a student, so unprintable characters are escaped, too."""


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
    lab: Lab, student: str, files: Mapping[str, bytes], seconds: float | None = PROCESSOR_SECONDS, key: bytes = b""
) -> Judgement:
    """Judge the files of a student.

    Args:
        lab: The lab.
        student: The student's ID.
        files: The files handed in, by name; others are ignored.
        seconds: Limit of the host's processor time in seconds, or None.
        key: The key of the student's case.

    Returns:
        The judgement.

    Raises:
        ConfigurationError: The ID is malformed.
        HostLimitReached: The limit of processor time expired.
    """
    given, case = {name: files[name] for name in lab.handed_in if name in files}, lab.case(student, key)
    try:
        with ExitStack() as limits:
            if seconds is not None:
                limits.enter_context(HostLimit(seconds, process_time))
            judged = lab.judge(case, given)
    except HostLimitReached:
        raise HostLimitReached(
            f"judging it takes more than {seconds:g} s of processor time; what you hand in seems to have no end"
        ) from None
    marks = []
    for part in lab.text.part:
        checks = judged.checks[part.name]
        passed = sum(check.right for check in checks)
        messages = tuple(dict.fromkeys(one_line(check.message)[:_LONGEST] for check in checks if not check.right))
        marks.append(PartMark(part.name, part.points * passed // len(checks), part.points, messages))
    return Judgement(
        lab.name,
        lab.version,
        case.student,
        sum(mark.points for mark in marks),
        lab.points,
        tuple(marks),
        judged.runs,
        {name: sha256(data).hexdigest() for name, data in sorted(given.items())},
    )
