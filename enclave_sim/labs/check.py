"""Checks of answers. A wrong answer that is common has its own message, which teaches and does not give the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    right: bool
    message: str = ""
    """The lesson of a wrong answer."""


RIGHT = Check(True)


def compare(what: str, given: Any, right: Any, mistakes: Mapping[Any, str], otherwise: str) -> Check:
    """Compare an answer with the right one.

    Args:
        what: The answer's name, which begins the message.
        given: The answer; None if it is missing.
        right: The right one.
        mistakes: The message for each common mistake, by the answer to which it leads.
        otherwise: The message for any other wrong answer.

    Returns:
        The check.
    """
    if given is None:
        return Check(False, f"{what}: not answered yet.")
    if type(given) is not type(right):
        return Check(
            False, f"{what}: expected {_KINDS[type(right)]}, found {_KINDS.get(type(given), 'something else')}."
        )
    if given == right:
        return RIGHT
    hashable = tuple(given) if isinstance(given, list) and all(isinstance(one, str) for one in given) else given
    known = mistakes.get(hashable) if isinstance(hashable, str | int | tuple) else None
    return Check(False, f"{what}: {known or otherwise}")


_KINDS: dict[type, str] = {
    int: "a whole number",
    str: "a text",
    list: "a list",
    bool: "true or false",
    float: "a fraction",
}
