"""Instructions that read and write one memory operand: a fault is a write fault and changes nothing."""

from functools import cache

import pytest

from machine.architecture.exceptions import PF
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, End, Mode, Program, Result

MODIFYING = {
    "ADD": "01 03", "ADC": "11 03", "SBB": "19 03", "INC": "FF 03", "DEC": "FE 0B", "NEG": "F7 1B", "NOT": "F7 13",
    "XCHG": "87 03", "ROL": "D1 03", "RCL": "D1 13", "RCR": "D3 1B", "SHL": "C1 23 05", "SAR": "D3 3B",
    "SHLD": "0F A4 03 07", "SHRD": "0F AD 03", "BTS": "0F BA 2B 05", "BTC": "0F BA 3B 05", "XADD": "0F C1 03",
    "CMPXCHG": "0F B1 13", "CMPXCHG8B": "0F C7 0B", "LOCK ADD": "F0 01 03", "LOCK NEG": "F0 F7 1B",
}  # fmt: skip
PLACES = {
    "absent": (layout.ABSENT, 6),
    "read-only": (layout.USER_READ_ONLY, 7),
    "supervisor": (layout.SUPERVISOR, 7),
    "device": (layout.DEVICE, None),
}


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def run(code: str, address: int, mode: Mode, flags: int, *, portable: bool) -> Result:
    registers = [layout.STACK_POINTER if name == "RSP" else 0x0102_0307 for name in GENERAL]
    registers[3] = address
    return bench(portable).run(Program(bytes.fromhex(code), mode, registers=tuple(registers), rflags=0x202 | flags))


@pytest.mark.parametrize("flags", [0, 0x8D5])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("place", [name for name, (_, error) in PLACES.items() if error is not None])
@pytest.mark.parametrize("name", MODIFYING)
def test_a_fault_is_one_of_a_write_and_changes_nothing(name: str, place: str, mode: Mode, flags: int) -> None:
    address, error_code = PLACES[place]
    for portable in (False, True):
        result = run(MODIFYING[name], address, mode, flags, portable=portable)
        assert (result.vector, result.error_code, result.registers["CR2"]) == (PF, error_code, address)
        assert result.registers["RFLAGS"] & 0x8D5 == flags
        assert [result.registers[name] for name in ("RAX", "RCX", "RDX")] == [0x0102_0307] * 3
        assert (result.registers["RIP"], result.memory, result.retired) == (layout.CODE, (), 0)


@pytest.mark.parametrize("name", ["ADD", "RCL", "SHL", "NEG", "CMPXCHG"])
def test_what_does_not_fault_is_executed(name: str) -> None:
    result = run(MODIFYING[name], layout.DATA, Mode.LONG, 0x8D5, portable=False)
    assert result.end is End.DONE
    assert result.registers["RFLAGS"] & 0x8D5 != 0x8D5


@pytest.mark.parametrize("code", ["3B 03", "85 03", "0F A3 03", "0F AF 03", "39 03"])
def test_what_is_only_read_faults_as_a_read(code: str) -> None:
    result = run(code, layout.ABSENT, Mode.LONG, 0, portable=False)
    assert (result.vector, result.error_code) == (PF, 4)
