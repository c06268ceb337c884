"""The profiles scale the number of examples."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiles import ANY_HOST, FACTORS, LONG, QUICK, scale, seeded


def a_property(examples: int) -> tuple[Callable[[], None], list[int]]:
    drawn: list[int] = []

    @settings(max_examples=examples, derandomize=True, database=None)
    @given(st.integers(min_value=0))
    def function(number: int) -> None:
        drawn.append(number)

    return function, drawn


def scaled(function: Callable[[], None], profile: str) -> None:
    items: Any = [SimpleNamespace(obj=function), SimpleNamespace(obj=function), SimpleNamespace(obj=len)]
    scale(items, profile)


@pytest.mark.parametrize(
    ("profile", "written", "tried"),
    [(ANY_HOST, 80, 40), (QUICK, 80, 8), (QUICK, 20, 5), (QUICK, 3, 3), (LONG, 7, 140)],
)
def test_a_profile_multiplies_the_examples_whatever_the_settings_of_a_property_say(
    profile: str, written: int, tried: int
) -> None:
    function, drawn = a_property(written)
    scaled(function, profile)
    function()
    assert len(drawn) == tried


@pytest.mark.parametrize(("profile", "tried"), [(ANY_HOST, 50), (QUICK, 10)])
def test_a_property_without_settings_draws_a_share_of_a_hundred_examples(profile: str, tried: int) -> None:
    drawn: list[int] = []

    @given(st.integers(min_value=0))
    def function(number: int) -> None:
        drawn.append(number)

    scaled(function, profile)
    function()
    assert len(drawn) == tried


@pytest.mark.parametrize(("profile", "tried"), [(None, 60), (ANY_HOST, 60), (QUICK, 12), (LONG, 120)])
def test_seeded_cases_are_all_tried_in_the_long_set_alone(profile: str | None, tried: int) -> None:
    assert seeded(120, profile) == tried


def test_only_the_long_profile_draws_again_each_time() -> None:
    for profile in FACTORS:
        function, drawn = a_property(10)
        scaled(function, profile)
        function()
        first = [*drawn]
        drawn.clear()
        function()
        assert (drawn == first) == (profile != LONG)
