"""Suggestions for misspelt names."""

from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `did you mean beacon? ` for a name close to one of the names, or an empty string."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}? " if near else ""
