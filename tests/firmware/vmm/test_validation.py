"""The validator rejects what the specification rejects, for its reason, at the byte that is at fault."""

from pathlib import Path

import pytest

from firmware.build import VMM
from tests.firmware.vmm import reference
from tests.firmware.vmm.cases import CASES, VALID, module
from tests.firmware.vmm.comparing import damaged, defective, guest, tally
from tests.firmware.vmm.harness import Harness, reasons
from tests.firmware.vmm.verdicts import Comparison, compare

_LINES, _FILE_LINES = 3000, 250


@pytest.mark.parametrize("name", CASES)
def test_a_module_is_rejected_for_its_reason_where_the_fault_is(harness: Harness, name: str) -> None:
    case = CASES[name]
    verdict = harness.validate(case.module)
    assert verdict.reason
    assert verdict.reason.name == case.reason
    if case.at is not None:
        assert case.module[verdict.offset :].startswith(case.at)


@pytest.mark.parametrize("name", CASES)
def test_wasmtime_rejects_it_for_the_same_class_of_reason(harness: Harness, name: str) -> None:
    case = CASES[name]
    assert compare(harness.validate(case.module), reference.verdict(case.module)) in {
        Comparison.SAME,
        Comparison.LATER_FAULT,
        Comparison.OURS_ALONE,
    }


@pytest.mark.parametrize("name", VALID)
def test_a_valid_module_is_accepted_by_both(harness: Harness, name: str) -> None:
    assert harness.validate(VALID[name]).reason is None
    assert reference.verdict(VALID[name]) is None


def test_only_limits_of_our_own_reject_what_wasmtime_accepts(harness: Harness) -> None:
    alone = {name for name, case in CASES.items() if reference.verdict(case.module) is None}
    assert alone == {"larger than the staging area", "operands without number", "globals without number"}


def test_every_reason_has_a_module() -> None:
    without = {"ARENA"}  # depends on the arena, not on the module
    assert {case.reason for case in CASES.values()} == {each.name for each in reasons() if each} - without


@pytest.mark.slow
def test_generated_and_broken_modules_have_the_verdict_of_wasmtime(harness: Harness) -> None:
    modules = [defective(seed) for seed in range(200)]
    modules += [damaged(guest(seed).module, seed) for seed in range(300)]
    small = [case.module for case in CASES.values() if len(case.module) < 1000]
    modules += [damaged(each, seed) for seed, each in enumerate(small * 3) if len(each) > 8]
    found = tally(harness, modules)
    assert found.differences == []
    assert found.counts["same"] > 0.75 * found.counts["modules"]


@pytest.mark.slow
def test_a_module_is_accepted_or_the_arena_is_exhausted(harness: Harness) -> None:
    body = "41001a" + "0240 4100 0d00 0b" * 40 + "20001a" * 3
    one = module(body, local_groups=b"\3\1\x7f\1\x7e\1\x7f")
    outcomes = []
    for size in [*range(0, 2000, 16), *range(65_536, 70_000, 16)]:
        small = Harness(harness.path, arena_bytes=size)
        verdict = small.validate(one)
        small.close()
        outcomes.append(verdict.reason and verdict.reason.name)
        assert verdict.arena_used <= size
    assert set(outcomes) == {"ARENA", None}
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome is None)


def test_any_number_of_exports_takes_little_time(harness: Harness) -> None:
    names = [b"\x08%08d\0\1" % (number * 7919 % 100_000) for number in range(100_000)]
    content = b"\xa1\x8d\6" + b"".join(names) + b"\6_start\0\1"
    assert harness.validate(module(sections={7: content})).reason is None


@pytest.mark.parametrize("file", [*VMM.glob("*.c"), *VMM.glob("*.h")], ids=lambda file: file.name)
def test_every_source_is_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= _FILE_LINES


def test_the_whole_vmm_is_small() -> None:
    assert sum(len(file.read_text().splitlines()) for file in VMM.iterdir()) <= _LINES
