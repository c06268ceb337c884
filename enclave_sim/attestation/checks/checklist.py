"""A list of checks, made in order, each with its message, even after failures."""

from collections.abc import Callable
from typing import TypeVar

from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.verdict import Check

Subject = TypeVar("Subject")
Value = TypeVar("Value")


class Checklist:
    """The checks made so far.

    A check is a function of a subject, and fails if it raises EvidenceError. The subject is the value read by an
    earlier check, called `needs`. If it is None, that check failed, and this one fails too.
    """

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def check(self, name: str, subject: Subject | None, needs: str, function: Callable[[Subject], str]) -> None:
        """Make a check whose function returns its message."""
        self._make(name, subject, needs, lambda subject: (None, function(subject)))

    def read(
        self, name: str, subject: Subject | None, needs: str, function: Callable[[Subject], Value], message: str
    ) -> Value | None:
        """Make a check that reads a value for others. Return the value, or None if the check failed."""
        return self._make(name, subject, needs, lambda subject: (function(subject), message))

    def _make(
        self, name: str, subject: Subject | None, needs: str, function: Callable[[Subject], tuple[Value, str]]
    ) -> Value | None:
        if subject is None:
            self.checks.append(Check(name, False, f"not checked, because the check {needs!r} failed"))
            return None
        try:
            value, message = function(subject)
        except EvidenceError as error:
            self.checks.append(Check(name, False, str(error)))
            return None
        self.checks.append(Check(name, True, message))
        return value
