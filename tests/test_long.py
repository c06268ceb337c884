"""The profile of `make test-long` multiplies what is drawn."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.long import FACTOR, lengthen


def test_a_property_is_tried_with_many_more_examples_whatever_its_settings_say() -> None:
    drawn: list[int] = []

    @settings(max_examples=7, derandomize=True, database=None)
    @given(st.integers())
    def function(number: int) -> None:
        drawn.append(number)

    function()
    assert len(drawn) == 7
    items: Any = [SimpleNamespace(obj=function), SimpleNamespace(obj=function), SimpleNamespace(obj=len)]
    lengthen(cast("list[pytest.Item]", items))
    drawn.clear()
    function()
    assert len(drawn) == 7 * FACTOR
    first = [*drawn]
    drawn.clear()
    function()
    assert drawn != first
