"""Enclaves behave as specified under inputs in any order; the state machine detects those that do not."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.memory_map import region
from enclave_sim.strategies import life_cycle
from machine.devices.engines.scrub_engine import ScrubEngine

QUICK = settings(max_examples=25, stateful_step_count=12, suppress_health_check=list(HealthCheck))
FIRST = settings(QUICK, database=None, derandomize=True, phases=[Phase.generate])
"""The first failure is enough: shrinking takes long."""
LIVES: list[tuple[Any, dict[str, Any]]] = [
    ("counter", {"cycles": 3}),
    (("beacon", "digest"), {"cycles": 2, "quantum_ns": 500_000}),
    ("trespasser", {}),
    ("runner", {"engine": "native", "cycles": 2, "quantum_ns": 20_000}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("payload", "options"), LIVES)
def test_lives(payload: Any, options: dict[str, Any]) -> None:
    run_state_machine_as_test(life_cycle(payload, **options), settings=QUICK)


@pytest.mark.long
@pytest.mark.parametrize(("payload", "options"), LIVES)
def test_long_lives(payload: Any, options: dict[str, Any]) -> None:
    run_state_machine_as_test(
        life_cycle(payload, **options), settings=settings(QUICK, max_examples=150, stateful_step_count=30)
    )


@pytest.mark.slow
def test_a_step_that_is_left_out_is_seen() -> None:
    genuine = EnclaveBlock._report_step

    def forgetful(self: EnclaveBlock, value: int) -> None:
        if value != 3:
            genuine(self, value)

    with patch.object(EnclaveBlock, "_report_step", forgetful), pytest.raises(AssertionError):
        run_state_machine_as_test(life_cycle("beacon"), settings=FIRST)


@pytest.mark.slow
def test_a_region_that_is_not_scrubbed_is_seen() -> None:
    genuine = ScrubEngine._run

    def lazy(self: ScrubEngine, base: int, length: int, *, fill: bool) -> None:
        genuine(self, base, length, fill=fill and base != region("staging").base)

    with patch.object(ScrubEngine, "_run", lazy), pytest.raises(AssertionError):
        run_state_machine_as_test(life_cycle("beacon"), settings=FIRST)
