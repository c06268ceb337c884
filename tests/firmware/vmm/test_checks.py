"""Each check of the validator is needed: a validator without it judges some module differently, or dies of it.

A check is a REQUIRE or an OBEY (firmware/vmm/decoder.h). The harness leaves one out at a time.
"""

import re
from typing import NamedTuple

import pytest

from firmware.build import VMM
from tests.firmware.vmm.cases import CASES, VALID, module
from tests.firmware.vmm.harness import Died, Harness, Reason

_CHECK = re.compile(r"\b(?:REQUIRE|OBEY)\((.*)\);")
_SMALL_ARENAS = (64, 1024, 66_000)


class Check(NamedTuple):
    file: str
    line: int
    text: str


CHECKS = [
    Check(file.name, number, found[1])
    for file in sorted(VMM.glob("*.c"))
    for number, line in enumerate(file.read_text().splitlines(), 1)
    if (found := _CHECK.search(line))
]
MODULES = [case.module for case in CASES.values()] + [*VALID.values()]
_BRANCHES = module("0240 4100 0d00 0b" * 200)


@pytest.fixture(scope="module")
def verdicts(removable: Harness) -> list[tuple[Reason | None, int]]:
    """The verdict and the offset on every module, with every check."""
    removable.removed = "", 0
    return [removable.validate(one)[:2] for one in MODULES]


def differs(removable: Harness, verdicts: list[tuple[Reason | None, int]]) -> bool:
    try:
        return any(removable.validate(one)[:2] != right for one, right in zip(MODULES, verdicts, strict=True))
    except Died:
        return True


def overruns(removable: Harness) -> bool:
    for size in _SMALL_ARENAS:
        small = Harness(removable.path, size, removable.removed)
        try:
            verdict = small.validate(_BRANCHES)
        except Died:
            return True
        finally:
            small.close()
        if verdict.reason is None or verdict.arena_used > size:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.file}: {check.text}")
def test_a_check_that_is_left_out_is_noticed(
    removable: Harness, verdicts: list[tuple[Reason | None, int]], check: Check
) -> None:
    removable.removed = check.file, check.line
    assert differs(removable, verdicts) or overruns(removable)


def test_there_are_checks_and_all_are_found() -> None:
    text = "".join(file.read_text() for file in VMM.glob("*.c"))
    assert len(CHECKS) == len(re.findall(r"\b(?:REQUIRE|OBEY)\(", text)) > 80


@pytest.mark.slow
def test_nothing_is_noticed_without_a_defect(removable: Harness, verdicts: list[tuple[Reason | None, int]]) -> None:
    removable.removed = "reader.c", 1
    assert not differs(removable, verdicts)
    assert not overruns(removable)
