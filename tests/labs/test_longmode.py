"""Lab `longmode`: every defect does what the judge expects of it, and none passes for a mended kernel."""

import pytest

import firmware
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.judging import judge
from enclave_sim.labs.longmode.defects import Defect, all_defects, boot_source, defects, selector
from tests.labs.solutions.kernels import built_kernel
from tests.labs.solutions.longmode import exception

pytestmark = [pytest.mark.slow, pytest.mark.complete]
LAB = find_lab("longmode")
CASE = LAB.case("ada")


def kernel(*broken: Defect) -> bytes:
    return built_kernel({"src/boot.S": boot_source(CASE, *broken)})


@pytest.mark.parametrize("defect", [one for one in all_defects() if one.vector], ids=lambda one: one.name)
def test_a_defect_of_the_switch_raises_its_exception(defect: Defect) -> None:
    code = selector(CASE) if defect.error_code is None else defect.error_code
    assert exception(kernel(defect)) == (defect.vector, code)


@pytest.mark.parametrize("defect", all_defects(), ids=lambda one: one.name)
def test_no_defect_passes_for_a_mended_kernel(defect: Defect) -> None:
    judgement = judge(LAB, "ada", {"aether.elf": kernel(defect)})
    assert judgement.points < judgement.of - next(part.points for part in LAB.text.part if part.name == "faults")


@pytest.mark.parametrize("name", ["WP", "CR3"])
def test_a_kernel_that_does_not_check_itself_is_checked(name: str) -> None:
    source = firmware.built_in().path.parent / "src" / "prot_entry.c"
    blind = source.read_text().replace("    check(architecture_is_locked());", "    (void)architecture_is_locked;")
    (defect,) = (one for one in all_defects() if one.name == name)
    image = built_kernel({"src/boot.S": boot_source(CASE, defect), "src/prot_entry.c": blind.encode()})
    judgement = judge(LAB, "ada", {"aether.elf": image})
    assert [mark.points for mark in judgement.parts] == [0, 3, 0, 0]
    assert "ends without its target state" in judgement.parts[2].messages[0]


@pytest.mark.parametrize("student", ["ada", "grace", "edsger"])
def test_the_broken_source_builds_and_earns_nothing(student: str) -> None:
    case = LAB.case(student)
    files = {"aether.elf": built_kernel({"src/boot.S": LAB.start(case)["boot.S"]})}
    assert judge(LAB, student, files).points == 0


def test_the_first_two_exceptions_are_those_of_the_first_two_defects() -> None:
    first, second, later = defects(CASE)
    assert exception(kernel(first, second, later)) == exception(kernel(first))
    assert exception(kernel(second, later)) == exception(kernel(second))


def test_a_kernel_without_defects_passes() -> None:
    assert judge(LAB, "ada", {"aether.elf": kernel()}).points == 8
