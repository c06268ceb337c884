"""Verifying a receipt: its files are judged again, and only keys that the verifier names count."""

from collections.abc import Iterable
from pathlib import Path

from enclave_sim.labs import workplace
from enclave_sim.labs.course import Course
from enclave_sim.labs.judging import judge
from enclave_sim.labs.receipt import Receipt, differences, read_receipt, signed_by
from enclave_sim.payload.keys import TrustAnchor


def problems_of(receipt: Path, directory: Path, course: Course | None, anchors: Iterable[TrustAnchor]) -> list[str]:
    """Return what speaks against a receipt.

    Args:
        receipt: The receipt.
        directory: The directory with the files handed in.
        course: The course that gave out the case; None for a case that anyone can make. A key that the directory names
            by itself is not believed: it could give any case.
        anchors: The keys of which each must have signed it.

    Returns:
        The problems, in words.

    Raises:
        EnclaveError: The receipt or the directory cannot be read, or cannot be judged.
    """
    claimed = read_receipt(receipt)
    lab, assignment, files = workplace.read(directory)
    problems = [_unsigned(claimed, one) for one in anchors if not signed_by(claimed, one)]
    if course is not None and (objection := course.objection(lab, assignment.student, assignment.case_key)):
        problems.append(objection)
    elif course is None and assignment.key:
        problems.append("its case is one of a course: verify it with --course")
    return [*problems, *differences(claimed.judgement, judge(lab, assignment.student, files, key=assignment.case_key))]


def _unsigned(claimed: Receipt, anchor: TrustAnchor) -> str:
    if claimed.signature is None:
        return f"signature: there is none; the key of {anchor.name} makes one with: lab submit --key"
    return f"signature: it was not made by the key of {anchor.name}"
