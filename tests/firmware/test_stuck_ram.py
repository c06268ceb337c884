"""RAM that cannot be zeroed: the kernel reports it, and still completes annihilation."""

import pytest

from enclave_sim import Enclave, Phase
from enclave_sim.specification import Step


@pytest.mark.parametrize("engine", ["wasmtime", "native"])
def test_a_scrub_that_fails_is_a_kernel_fault_that_ends_dormant(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enclave = Enclave("beacon" if engine == "wasmtime" else "surveyor", engine=engine)
    assert enclave.run_to(Phase.EXEC_LOOP)
    monkeypatch.setattr(enclave.machine.ram, "is_zero", lambda *_: False)
    result = enclave.run(50_000_000)
    assert result.outcome == "KERNEL_FAULT"
    assert result.detail == "a scrubbed range was not zero"
    assert [step.step for step in result.annihilation] == [step.name for step in Step]
    assert result.halted
    if engine == "native":
        assert enclave.serial.splitlines()[-1] == "A7"
        assert "SCRUB_FAILED 00000002" in enclave.serial
