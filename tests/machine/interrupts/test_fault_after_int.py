"""A page fault of a fetch is not taken for the INT that came before it."""

import pytest

from machine.architecture.exceptions import PF
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import Mode, Program

TO_THE_TOP = "bf f4ffffff c74700 2e0f0415 c74704 f80e0010 c74708 a00b0020 ffe7"
"""Write code to the end of the last page below 4 GiB, and jump there."""


@pytest.mark.parametrize("way", ["", "portable", "stepping", "by_block"])
@pytest.mark.parametrize("mode", [Mode.PROTECTED, Mode.COMPATIBILITY])
def test_a_fetch_that_faults_after_int_is_a_page_fault(mode: Mode, way: str) -> None:
    vector = layout.RETURNING_TASK_VECTOR if mode is Mode.PROTECTED else layout.ROUND_TRIP_VECTOR
    code = bytes([0xCD, vector]) + bytes.fromhex(TO_THE_TOP)
    result = Bench(**{way: True} if way else {}).run(Program(code, mode=mode, peripherals=True))
    assert (result.vector, result.error_code, result.registers["RIP"]) == (PF, 20, 0xFFFF_FFF4)
