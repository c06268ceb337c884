"""The fast set tries a sample of each long table of cases."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.sampling import MOST, shorten


class Case:
    """What `shorten` looks at in a test of pytest."""

    parent = None
    originalname = "test"

    def __init__(self, *marked: str, **indices: int) -> None:
        self.nodeid = f"test[{sorted(indices.items())}]"
        self.callspec = type("CallSpec", (), {"indices": indices})
        self.markers = [*marked]

    def iter_markers(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.markers]

    def add_marker(self, name: str) -> None:
        self.markers.append(name)


def fast(cases: list[Any]) -> list[str]:
    shorten(cases)
    return [case.nodeid for case in cases if "slow" not in case.markers]


def table(count: int) -> list[Any]:
    return [Case(row=row) for row in range(count)]


@pytest.mark.parametrize(("cases", "tried"), [(2, 2), (MOST, MOST), (MOST + 1, MOST), (500, MOST)])
def test_a_long_table_has_a_sample_in_the_fast_set(cases: int, tried: int) -> None:
    assert len(fast(table(cases))) == tried


def test_the_sample_is_the_same_each_time_and_a_new_case_displaces_one_at_most() -> None:
    before = fast(table(100))
    assert fast(table(100)) == before
    assert before != [case.nodeid for case in table(MOST)]
    assert len({*before} - {*fast(table(101))}) <= 1


def test_cases_that_are_slow_already_take_no_place() -> None:
    cases = [Case("slow", row=row) for row in range(50)] + [Case(row=row) for row in range(50, 50 + MOST)]
    assert len(fast(cases)) == MOST


def test_a_complete_table_stays_whole() -> None:
    assert len(fast([Case("complete", row=row) for row in range(50)])) == 50


def test_each_value_of_a_parameter_with_few_is_tried() -> None:
    for salt in range(20):
        cases: list[Any] = [Case(row=row, ring=3 * (row == salt), salt=salt) for row in range(200)]
        shorten(cases)
        assert {case.callspec.indices["ring"] for case in cases if "slow" not in case.markers} == {0, 3}


def test_functions_are_sampled_one_by_one() -> None:
    one, other = table(20), table(20)
    for case in other:
        case.originalname = "another"
    assert len(fast([*one, *other])) == 2 * MOST


def test_a_test_without_cases_stays() -> None:
    item: Any = object()
    shorten([item] * 20)
