"""Parameters split between the fast set and the slow set."""

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Parameters for `parametrize`: all but those in `fast` are marked slow."""
    found = [*values]
    assert all(one in found for one in fast)
    return [one if one in fast else pytest.param(one, marks=pytest.mark.slow) for one in found]
