"""Lab `sandbox`: the image in service is that of its sources, and the hole is what makes the difference."""

import pytest

from enclave_sim.enclave.kernel.firmware_file import firmware_of
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.judging import judge
from enclave_sim.labs.sandbox import hole, modules
from enclave_sim.labs.sandbox.judge import run_alone
from enclave_sim.labs.unknown_payload import signed
from firmware import built_in
from tests.labs.solutions.kernels import built_kernel
from tests.labs.solutions.sandbox import module, text
from tests.labs.solving import workplace

LAB = find_lab("sandbox")
CASE = LAB.case("ada")


def test_the_image_differs_from_the_built_in_one_in_one_instruction() -> None:
    pairs = zip(hole.vulnerable().image, built_in().image, strict=True)
    different = [at for at, (ours, theirs) in enumerate(pairs) if ours != theirs]
    assert 1 <= len(different) <= different[-1] - different[0] + 1 <= 6


def test_the_exploit_works_on_the_vulnerable_kernel_only() -> None:
    exploit = module(text(workplace(LAB, "ada")))
    assert [mark.points for mark in judge(LAB, "ada", {"exploit.wasm": exploit}).parts] == [2, 3, 3, 0]
    refused = run_alone(signed(exploit), built_in())
    assert (refused.outcome, hole.REASON in refused.detail) == ("PAYLOAD_REJECTED", True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 12345, 10**30])
def test_the_built_in_validator_refuses_and_accepts_the_judges_modules(number: int) -> None:
    for one in modules.refused(number)[:: 1 if number else 3]:
        assert hole.REASON in run_alone(signed(one), built_in()).detail
    for one in modules.twins(number)[:: 1 if number else 3]:
        assert run_alone(signed(one), built_in()).outcome == "COMPLETED"
    good, signals = modules.accepted(number)
    assert list(run_alone(signed(good), built_in()).signals) == signals


@pytest.mark.slow
def test_the_sources_build_what_is_in_service() -> None:
    sources = {f"vmm/{name}": data for name, data in hole.sources(CASE).items()}
    built = firmware_of(built_kernel(sources))
    exploit = signed(module(text(workplace(LAB, "ada"))))
    for kernel in (built, hole.vulnerable()):
        assert run_alone(exploit, kernel).outcome == "COMPLETED"
    assert judge(LAB, "ada", {"aether.elf": built.image}).points == 0
