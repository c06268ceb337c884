"""The objects that the commands about labs print with `--json`. Their docstrings are the published descriptions."""

import msgspec

from enclave_sim.labs.grades import Grade, PartStatistics
from enclave_sim.labs.judging import Judgement


class ListedLab(msgspec.Struct, frozen=True):
    """One lab in the list."""

    number: int
    """Its number, from 1."""
    name: str
    """Its name."""
    version: int
    """Its version: it changes whenever a case or a judgement does."""
    points: int
    """The points of all parts."""
    title: str
    """Its title."""


class LabList(msgspec.Struct, frozen=True):
    """All labs, in the order in which a course takes them."""

    labs: tuple[ListedLab, ...]
    """The labs."""


class Verification(msgspec.Struct, frozen=True):
    """The answer about a receipt."""

    confirmed: bool
    """True if judging again gives the same, and everyone who was named as its signer has signed it."""
    problems: tuple[str, ...]
    """Reasons why it is refused, in words."""
    signers: tuple[str, ...]
    """The names of the keys that were asked for and have signed it. If there are none, it is not confirmed."""


class GradeObject(msgspec.Struct, frozen=True):
    """The grade of one directory."""

    directory: str
    """The directory, as it was named."""
    judgement: Judgement | None
    """The result, with the points of the course; null if it could not be judged, or another directory counts."""
    points: int
    """The points that count."""
    problem: str
    """The reason why it earns nothing; empty if there is none."""
    submitted: str
    """When it was handed in, in UTC; empty if the course does not know."""
    late: bool | None
    """True if that was after the deadline; null if there is a deadline and nobody knows."""

    @classmethod
    def of(cls, grade: Grade) -> "GradeObject":
        """Return the object of a grade."""
        return cls(grade.directory, grade.judgement, grade.points, grade.problem, grade.submitted, grade.late)


class Grades(msgspec.Struct, frozen=True):
    """All grades, and statistics of those that count."""

    grades: tuple[GradeObject, ...]
    """The grades, in the order of the directories."""
    statistics: tuple[PartStatistics, ...]
    """The parts, the hardest first."""
