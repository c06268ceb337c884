"""A student's directory: the page, the starting point, and `lab.json`, which names lab, version and student."""

from pathlib import Path

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.directory import read_directory
from enclave_sim.files.writing import new_directory, write_file, write_files
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.lab import Lab

ASSIGNMENT = "lab.json"
PAGE = "README.md"
_ASSIGNMENT_BYTES = 1 << 12


class Assignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `lab.json`."""

    lab: str
    version: int
    student: str
    hints: dict[str, int] = {}
    """The number of hints shown, by part. They cost nothing."""
    key: str = ""
    """The key of the case in hexadecimal, from the course that gave it out; empty for a case that anyone can make."""

    @property
    def case_key(self) -> bytes:
        """The key of the case. Raises ConfigurationError if it is not hexadecimal."""
        try:
            return bytes.fromhex(self.key)
        except ValueError:
            raise ConfigurationError(f"{ASSIGNMENT} has a damaged key") from None


def start(lab: Lab, directory: Path, student: str, key: bytes = b"") -> tuple[str, ...]:
    """Make the directory of a lab for a student.

    Args:
        lab: The lab.
        directory: A directory that does not exist.
        student: The student's ID.
        key: The key of the student's case, from a course.

    Returns:
        The names of the files.

    Raises:
        ConfigurationError: The directory exists or cannot be made, or the ID is malformed.
    """
    if directory.exists() or directory.is_symlink():
        raise ConfigurationError(f"{directory} exists; name a directory to make")
    case = lab.case(student, key)
    contents = {
        PAGE: lab.page(case),
        ASSIGNMENT: _encoded(Assignment(lab.name, lab.version, case.student, key=key.hex())),
        **lab.start(case),
    }
    with new_directory(directory):
        write_files({directory / name: data for name, data in contents.items()})
    return tuple(sorted(contents))


def read(directory: Path) -> tuple[Lab, Assignment, dict[str, bytes]]:
    """Read a student's directory.

    Args:
        directory: The directory, which `start` made.

    Returns:
        The lab, the assignment with the canonical ID, and the files handed in.

    Raises:
        ConfigurationError: It is not such a directory, is of another version of the lab, or a file cannot be read.
    """
    if not directory.is_dir():
        inside = (
            "this one is of a lab: name it as ." if Path(ASSIGNMENT).is_file() else "enclave-sim lab start makes one"
        )
        raise ConfigurationError(f"there is no directory {directory}; {inside}")
    found = read_directory(directory, {ASSIGNMENT: _ASSIGNMENT_BYTES})
    if ASSIGNMENT not in found:
        raise ConfigurationError(f"{directory} has no {ASSIGNMENT}; enclave-sim lab start makes a directory with one")
    try:
        assignment = msgspec.json.decode(found[ASSIGNMENT], type=Assignment)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"{directory}/{ASSIGNMENT} is damaged") from None
    lab = find_lab(assignment.lab)
    if assignment.version != lab.version:
        raise ConfigurationError(
            f"{directory} is of version {assignment.version} of lab {lab.name}, not {lab.version} as this program: "
            "start it anew in another directory"
        )
    case = lab.case(assignment.student, assignment.case_key)
    known = msgspec.structs.replace(assignment, student=case.student)
    return lab, known, read_directory(directory, lab.handed_in)


def next_hint(directory: Path, lab: Lab, assignment: Assignment, part: str) -> tuple[int, str] | None:
    """Return the next hint of a part and its number, from 1, and note that it was shown; None after the last.

    Args:
        directory: The student's directory.
        lab: The lab.
        assignment: The content of its `lab.json`.
        part: The part's name.

    Returns:
        The hint.

    Raises:
        ConfigurationError: There is no such part, or `lab.json` cannot be written.
    """
    text = lab.filled(lab.case(assignment.student, assignment.case_key))
    hints = {one.name: one.hints for one in text.part}
    if part not in hints:
        raise ConfigurationError(f"lab {lab.name} has no part {part!r}; there are {', '.join(hints)}")
    shown = max(assignment.hints.get(part, 0), 0)
    if shown >= len(hints[part]):
        return None
    noted = msgspec.structs.replace(assignment, hints={**assignment.hints, part: shown + 1})
    write_own(directory, ASSIGNMENT, _encoded(noted))
    return shown + 1, hints[part][shown]


def write_own(directory: Path, name: str, data: bytes) -> None:
    """Write a file into a student's directory. Raises ConfigurationError, also if the name is a symbolic link."""
    goal = directory / name
    if goal.is_symlink() or directory.is_symlink():
        raise ConfigurationError(f"cannot write {goal}: it is a symbolic link")
    if goal.exists() and not goal.is_file():
        raise ConfigurationError(f"cannot write {goal}: it is not a file")
    write_file(goal, data)


def _encoded(assignment: Assignment) -> bytes:
    return msgspec.json.format(msgspec.json.encode(assignment), indent=2) + b"\n"
