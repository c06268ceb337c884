"""The Hypothesis profiles: half of the examples of each property, fewer in `make test-fast`, more in `make test-long`.

Tables of seeded cases follow them: half of each, a tenth, and all.

Those of the long one come from a new seed each time; `make test-long` prints the seed, which repeats them.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

ANY_HOST, QUICK, LONG = "any host", "quick", "long"
FACTORS = {ANY_HOST: 0.5, QUICK: 0.1, LONG: 20}
_FEWEST = 5
_SETTINGS = "_hypothesis_internal_use_settings"
"""The attribute in which Hypothesis stores `@settings`; its pytest plugin also reads it."""


def register() -> None:
    """Register the profiles, and load the one of `make test`."""
    settings.register_profile(ANY_HOST, deadline=None)  # hosts differ in speed, and no test may depend on it
    settings.register_profile(QUICK, settings.get_profile(ANY_HOST))
    settings.register_profile(LONG, settings.get_profile(ANY_HOST), derandomize=False, database=None, print_blob=True)
    settings.load_profile(ANY_HOST)


def seeded(count: int, profile: str | None) -> int:
    """How many of `count` seeded cases a test tries under a profile; None is that of `make test`."""
    return _scaled(count, min(FACTORS[profile or ANY_HOST], 1))


def _scaled(count: int, factor: float) -> int:
    return max(int(factor * count), min(_FEWEST, count))


def scale(items: Iterable[pytest.Item], profile: str) -> None:
    """Multiply the examples of each property by the factor of a profile, whether it has `@settings` or not."""
    factor = FACTORS.get(profile, 1)
    functions: dict[int, Any] = {id(function): function for item in items if (function := getattr(item, "obj", None))}
    for function in functions.values():
        if is_hypothesis_test(function) and factor != 1:
            own = getattr(function, _SETTINGS, None) or settings()
            scaled = settings(own, max_examples=_scaled(own.max_examples, factor))
            if profile == LONG:
                scaled = settings(scaled, derandomize=False, database=None, print_blob=True)
            setattr(function, _SETTINGS, scaled)
