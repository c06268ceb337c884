"""The case of one student: choices that depend on the lab, its version, the student's ID and the case's key alone."""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

from enclave_sim.errors import ConfigurationError

GUEST = "guest"
"""The ID of someone who names none."""
_ID = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_LONGEST = 256
"""Limit of characters of an ID as it is given."""
_Value = TypeVar("_Value")


def canonical_id(given: str) -> str:
    """Return the one form of a student's ID: in lower case, without spaces around it, and in ASCII.

    Args:
        given: The ID as someone writes it. Compatible forms of letters and digits, such as those of full width, count
            as the plain ones (Unicode's NFKC).

    Returns:
        1 to 64 letters, digits, or characters of `._@+-`, beginning with a letter or digit.

    Raises:
        ConfigurationError: It has other characters, such as letters of another alphabet, or is too long.
    """
    found = unicodedata.normalize("NFKC", given).casefold().strip() if len(given) <= _LONGEST else ""
    if not _ID.fullmatch(found):
        raise ConfigurationError(
            f"{given[:80]!a} is not a student ID: use 1 to 64 letters, digits, '.', '_', '@', '+' or '-', "
            "starting with a letter or digit"
        )
    return found


class Case:
    """Deterministic choices for one student. Each has a name, so that a new one changes no other.

    Args:
        lab: The lab's name.
        version: Its version.
        student: The student's ID, in any form that `canonical_id` takes.
        key: The key of a case that a course gives out; empty for one that anyone can make.

    Raises:
        ConfigurationError: The ID is malformed.
    """

    def __init__(self, lab: str, version: int, student: str, key: bytes = b"") -> None:
        self.lab, self.version, self.student, self._key = lab, version, canonical_id(student), key

    def bytes(self, name: str) -> bytes:
        """Return 32 bytes for a name."""
        text = f"aether-lab/1\n{self.lab}\n{self.version}\n{self.student}\n{name}"
        return sha256(self._key + text.encode()).digest()

    def number(self, name: str, least: int, most: int) -> int:
        """Choose a number from `least` to `most`."""
        return least + int.from_bytes(self.bytes(name), "big") % (most - least + 1)

    def choose(self, name: str, options: Sequence[_Value]) -> _Value:
        """Choose one of several values."""
        return options[self.number(name, 0, len(options) - 1)]

    def sample(self, name: str, options: Sequence[_Value], count: int) -> list[_Value]:
        """Choose several values, in a chosen order, each at most once."""
        left = list(options)
        return [left.pop(self.number(f"{name}.{step}", 0, len(left) - 1)) for step in range(count)]
