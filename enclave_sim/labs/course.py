"""A course: its points and deadlines, its private cases, and when work was handed in. One TOML file says it all.

With a secret, every student has a case that only the course can give out: its key is an HMAC of lab, version, student.
A time is the one in the file that the course names, or that of a receipt signed by the course's key; no clock is read.
"""

import hmac
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.directory import read_directory
from enclave_sim.files.reading import SMALL, read_file, read_utf8
from enclave_sim.labs.case import canonical_id
from enclave_sim.labs.catalogue import LABS
from enclave_sim.labs.instants import with_zone
from enclave_sim.labs.judging import Judgement, PartMark
from enclave_sim.labs.lab import Lab
from enclave_sim.labs.receipt import RECEIPT, decode_receipt, signed_by
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.reasons import reason
from enclave_sim.recording.text import one_line
from enclave_sim.similar import did_you_mean

SECRET_BYTES = 32
"""The size of a course's secret."""
KEY_BYTES = 16
"""The size of the key of one student's case."""
_MAX_POINTS = 1_000_000
_Kind = TypeVar("_Kind")


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of one lab."""

    deadline: datetime | None = None
    """The last time that is not late."""
    points: dict[str, int] = {}
    """The points of each part; empty for those of the lab."""


class CourseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a course file. Other files are named relative to its directory."""

    name: str
    labs: dict[str, Terms]
    """The labs of the course, by name."""
    secret: str = ""
    """The file with the secret of the cases; empty for cases that anyone can make."""
    anchor: str = ""
    """The trust anchor of the key that signs receipts; empty if their times do not count."""
    submissions: str = ""
    """The file with the time of each submission: a table for each student, with a time for each lab."""
    late_share: float = 1.0
    """The share of its points that late work keeps."""


class Course:
    """A course.

    Args:
        path: The course file.

    Raises:
        ConfigurationError: It, or a file that it names, cannot be read or is not right.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _read_course(path)
        if not 0 <= self._file.late_share <= 1:
            raise ConfigurationError(f"{path}: late_share is {self._file.late_share}; it must be from 0 to 1")
        labs = {lab.name: lab for lab in LABS}
        for name, terms in self._file.labs.items():
            if name not in labs:
                raise ConfigurationError(
                    f"{path}: there is no lab {name[:80]!r}; {did_you_mean(name[:80], labs)}there are {', '.join(labs)}"
                )
            _check_terms(path, labs[name], terms)
        self._secret = self._read_secret()
        self._anchor = TrustAnchor.load(path.parent / self._file.anchor) if self._file.anchor else None
        self._times = self._read_times()

    def __contains__(self, lab: object) -> bool:
        """Report whether a lab belongs to the course."""
        return isinstance(lab, Lab) and lab.name in self._file.labs

    @property
    def anchor(self) -> TrustAnchor | None:
        """The trust anchor of the key that signs receipts."""
        return self._anchor

    def objection(self, lab: Lab, student: str, key: bytes) -> str:
        """Return the reason why a case is not one that the course has given out; empty if there is none."""
        if lab not in self:
            return f"lab {lab.name} is not one of the course"
        if not hmac.compare_digest(self.key(lab, student), key):
            return f"its case is not the one that the course has given to {student}"
        return ""

    def key(self, lab: Lab, student: str) -> bytes:
        """Return the key of a student's case; empty if the course has no secret."""
        if not self._secret:
            return b""
        message = f"aether-lab-case\n{lab.name}\n{lab.version}\n{canonical_id(student)}".encode()
        return hmac.digest(self._secret, message, "sha256")[:KEY_BYTES]

    def submitted(self, directory: Path, judgement: Judgement) -> datetime | None:
        """Return when work was handed in, if the course knows it.

        Args:
            directory: The student's directory.
            judgement: The judgement of the files in it.

        Returns:
            The time in the file of submissions if the course names one, else that of a receipt for these very files.
        """
        if self._file.submissions:
            return self._times.get(judgement.student, {}).get(judgement.lab)
        if self._anchor is None:
            return None
        try:
            found = read_directory(directory, {RECEIPT: SMALL})
            if RECEIPT not in found:
                return None
            receipt = decode_receipt(found[RECEIPT], directory / RECEIPT)
        except ConfigurationError:
            return None
        if receipt.submitted is None or receipt.judgement != judgement or not signed_by(receipt, self._anchor):
            return None
        return receipt.submitted

    def is_late(self, lab: str, submitted: datetime | None) -> bool | None:
        """Report whether a submission was late; None if nobody knows when it came."""
        deadline = self._file.labs[lab].deadline
        if deadline is None:
            return False
        return None if submitted is None else submitted > deadline

    def counted(self, judgement: Judgement, *, late: bool) -> Judgement:
        """Return a judgement with the points of the course."""
        points = self._file.labs[judgement.lab].points
        marks = tuple(self._mark(mark, points.get(mark.part, mark.of), late=late) for mark in judgement.parts)
        total, most = sum(mark.points for mark in marks), sum(mark.of for mark in marks)
        return msgspec.structs.replace(judgement, parts=marks, points=total, of=most)

    def _mark(self, mark: PartMark, most: int, *, late: bool) -> PartMark:
        earned = most * mark.points // mark.of
        return msgspec.structs.replace(mark, of=most, points=int(earned * self._file.late_share) if late else earned)

    def _read_secret(self) -> bytes:
        if not self._file.secret:
            return b""
        file = self._path.parent / self._file.secret
        try:
            secret = bytes.fromhex(read_file(file, SMALL).decode("ascii"))
        except ValueError:
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise ConfigurationError(f"{file} is not a secret of {SECRET_BYTES} bytes in hexadecimal")
        return secret

    def _read_times(self) -> Mapping[str, Mapping[str, datetime]]:
        if not self._file.submissions:
            return {}
        file = self._path.parent / self._file.submissions
        times: dict[str, dict[str, datetime]] = {}
        for given, several in _converted(f"{file}", _read(file), dict[str, dict[str, datetime]]).items():
            student = canonical_id(given)
            if student in times:
                raise ConfigurationError(f"{file} has two tables of student {student}")
            for lab, at in several.items():
                with_zone(f"{file}: the time of {student} and {lab[:80]!r}", at)
            times[student] = several
        return times


def _check_terms(path: Path, lab: Lab, terms: Terms) -> None:
    if terms.deadline is not None:
        with_zone(f"{path}: the deadline of lab {lab.name}", terms.deadline)
    parts = [part.name for part in lab.text.part]
    if terms.points and sorted(terms.points) != sorted(parts):
        raise ConfigurationError(f"{path}: the points of lab {lab.name} must name its parts: {', '.join(parts)}")
    if any(not 0 <= points <= _MAX_POINTS for points in terms.points.values()):
        raise ConfigurationError(f"{path}: the points of a part of lab {lab.name} must be 0 to {_MAX_POINTS}")


def _read_course(path: Path) -> CourseFile:
    """Read a course file. Each lab is converted by itself first, so that an error names it."""
    found = _read(path)
    labs = found.get("labs")
    for name, terms in labs.items() if isinstance(labs, dict) else ():
        _converted(f"{path}: lab {name[:80]!r}", terms, Terms)
    return _converted(f"{path}", found, CourseFile)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_utf8(path, SMALL, "a course"))
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {one_line(reason(error))[:200]}") from None


def _converted(what: str, found: object, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(found, kind)
    except RecursionError:
        raise ConfigurationError(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise ConfigurationError(f"{what}: {one_line(reason(error))[:200]}") from None
