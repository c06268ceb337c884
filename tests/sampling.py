"""Parameters split between the fast set and the slow set."""

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Parameters for `parametrize`: all but those in `fast` are marked slow. A tuple has a value for each name."""
    found = [*values]
    assert all(one in found for one in fast)
    return [one if one in fast else _slow(one) for one in found]


def _slow(one: Any) -> Any:
    return pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow)
