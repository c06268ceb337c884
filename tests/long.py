"""The Hypothesis profile of `make test-long`: every property is tried with many more examples, drawn anew each time."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

LONG = "long"
FACTOR = 20
_SETTINGS = "_hypothesis_internal_use_settings"
"""Where Hypothesis keeps what `@settings` says; its own plugin for pytest reads it there, too."""


def lengthen(items: Iterable[pytest.Item]) -> None:
    """Multiply the examples of each property, whatever its `@settings` say, and have none of them derandomized."""
    functions: dict[int, Any] = {id(function): function for item in items if (function := getattr(item, "obj", None))}
    for function in functions.values():
        own = getattr(function, _SETTINGS, None)
        if own is not None:
            longer = settings(own, max_examples=FACTOR * own.max_examples, derandomize=False, database=None)
            setattr(function, _SETTINGS, longer)
