"""Exceptions and interrupts, case by case, on QEMU and on our machine."""

import pytest

from tests.oracle import ours, qemu, suite
from tests.oracle.compare import difference
from tests.oracle.disputes import verdict
from tests.oracle.image import Image
from tests.oracle.records import Run

_MAX_SHOWN = 5


def _agree(image: Image, theirs: Run, ours_: Run, first_case: int = 0) -> None:
    """Fails with the names of the cases that differ; what the runner does between them counts, too."""
    pairs = zip(
        suite.cases(image, theirs, first_case),
        suite.cases(image, ours_, first_case),
        strict=False,
    )
    different = list(filter(None, (verdict(one.name, "QEMU", one, other) for one, other in pairs)))
    if different:
        pytest.fail("\n\n".join([f"{len(different)} cases differ", *different[:_MAX_SHOWN]]), pytrace=False)
    if (theirs.records, theirs.end, theirs.status) != (ours_.records, ours_.end, ours_.status):
        pytest.fail(difference(image, theirs, ours_), pytrace=False)


@pytest.mark.parametrize("theme", [theme for theme in suite.THEMES if theme not in suite.ONE_BY_ONE])
def test_every_case_is_as_on_qemu(theme: str) -> None:
    image = suite.image(theme)
    theirs = qemu.run(image)
    assert (theirs.end, theirs.status) == ("exit", suite.PASSED)
    assert len(suite.cases(image, theirs)) == len(suite.names(image))
    _agree(image, theirs, ours.run(image))


@pytest.mark.parametrize("theme", sorted(suite.ONE_BY_ONE))
def test_third_fault_shuts_down_as_on_qemu(theme: str) -> None:
    for index, name in enumerate(suite.names(suite.image(theme))):
        image = suite.image(theme, index)
        theirs = qemu.run(image)
        assert theirs.end == "shutdown", name
        _agree(image, theirs, ours.run(image), index)


def test_the_suite_has_hundreds_of_cases() -> None:
    names = [name for theme in suite.THEMES for name in suite.names(suite.image(theme))]
    assert len(names) == len(set(names)) > 800
