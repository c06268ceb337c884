"""Lab `jitter`: the broken sources build and earn nothing, and neither mistake passes for mended."""

import pytest

from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.jitter.sources import MISTAKES, Mistake, sources
from enclave_sim.labs.judging import judge
from tests.labs.solutions.jitter import first
from tests.labs.solutions.kernels import built_kernel

pytestmark = [pytest.mark.slow, pytest.mark.complete]
LAB = find_lab("jitter")
CASE = LAB.case("ada")


def points(second: Mistake | None, *, is_first_mended: bool) -> dict[str, int]:
    texts = {name: data.decode() for name, data in sources(CASE, second).items()}
    if is_first_mended:
        texts = first(texts)
    image = built_kernel({f"src/{name}": text.encode() for name, text in texts.items()})
    return {mark.part: mark.points for mark in judge(LAB, "ada", {"aether.elf": image}).parts if mark.points}


@pytest.mark.parametrize("second", MISTAKES, ids=lambda one: one.name)
def test_the_broken_source_builds_and_earns_nothing(second: Mistake) -> None:
    assert points(second, is_first_mended=False) == {}


@pytest.mark.parametrize("second", MISTAKES, ids=lambda one: one.name)
def test_each_mistake_costs_its_part(second: Mistake) -> None:
    assert points(second, is_first_mended=True) == {"window": 3}


def test_without_the_second_mistake_long_sleeps_are_punctual() -> None:
    assert points(None, is_first_mended=False) == {"steady": 3}


def test_without_mistakes_everything_holds() -> None:
    assert sum(points(None, is_first_mended=True).values()) == LAB.points
