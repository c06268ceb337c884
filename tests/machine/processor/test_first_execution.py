"""Code executed for the first time: it is stepped through if translating it does not pay (stepping.h)."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from unicorn import UC_HOOK_EDGE_GENERATED

from machine.processor.step_hook import add_hook
from tests.machine.fuzz.case import generate
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import End, Program, Result

BOTH = [pytest.param(False, id="native"), pytest.param(True, id="portable")]
NEVER_STEPS, ALWAYS_STEPS = 1 << 40, 0
_FLAGS = 0x8D5
_MAX_TRANSLATED = 12
"""Translated instructions per executed one. The rest of a page would be hundreds."""


@cache
def bench(credit: int) -> Bench:
    made = Bench()
    made.machine.cpu.hook.credit = credit
    return made


def stepped(program: Program) -> Result:
    stepping = bench(ALWAYS_STEPS)
    stepping.machine.cpu.hook.stepping = 1
    return stepping.run(program)


@pytest.mark.parametrize("seed", range(8))
def test_software_does_not_see_the_steps(share: Callable[[int], int], seed: int) -> None:
    for index in range(share(100)):
        program = generate(Random(f"{seed}/{index}")).program
        assert stepped(program) == bench(NEVER_STEPS).run(program)


@pytest.mark.parametrize(
    "code",
    ["f3a4", "f3a6", "f2ae", "f3ab", "f3aa9c58", "9c580d000100009d90", "fbfa", "cd01", "c8000001"],
    ids="rep-movs repe-cmps repne-scas rep-stos pushf tf-by-popf sti int-1 enter".split(),
)
@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("ring", [0, 3])
def test_nor_where_unicorn_steps_otherwise(code: str, count: int, ring: int) -> None:
    registers = (0, count, *Program(b"").registers[2:6], layout.DATA, layout.DATA + 0x800, *[0] * 8)
    program = Program(bytes.fromhex(code), ring=ring, registers=registers, data=b"aaab")
    for limit in range(1, 12):
        assert stepped(replace(program, limit=limit)) == bench(NEVER_STEPS).run(replace(program, limit=limit))


@pytest.mark.parametrize(
    "unit", ["d8c1", "d8c14889c3", "0fa24889c3", "8ed8"], ids="fadd fadd-mov cpuid-mov mov-ds".split()
)
def test_no_more_is_translated_than_pays(unit: str) -> None:
    """Unicorn is entered after each instruction that the machine executes, and translates to the end of the page."""
    machine = Bench()
    translated = 0

    def count(_uc: int, block: int, _before: int, _user: int) -> None:
        nonlocal translated
        translated += ctypes.c_uint16.from_address(block + 8).value

    void = ctypes.c_void_p
    callback = ctypes.CFUNCTYPE(None, void, void, void, void)(count)
    add_hook(machine.machine.cpu.engine.uc, UC_HOOK_EDGE_GENERATED, callback)
    code = bytes.fromhex(unit)
    registers = (layout.KERNEL_DATA, *Program(b"").registers[1:])
    result = machine.run(Program(code * (4000 // len(code)), ring=0, registers=registers, limit=10_000))
    assert result.end is End.DONE
    assert translated < _MAX_TRANSLATED * result.retired


@pytest.mark.parametrize("portable", BOTH)
def test_a_store_into_its_own_block_counts_once_and_keeps_the_flags(portable: bool) -> None:
    """SUB sets CF, and MOV stores into the instruction after it. Unicorn begins it again."""
    code = bytes.fromhex("2c01 c6050000000090 90".replace(" ", "")) + b"\x90" * 3
    result = Bench(portable=portable).run(Program(code))
    assert (result.end, result.retired, result.registers["RFLAGS"] & _FLAGS) == (End.DONE, 7, 0x95)


@pytest.mark.parametrize("portable", BOTH)
def test_code_that_cannot_be_fetched_is_not_a_fault_before_it_is_reached(portable: bool) -> None:
    """The program jumps to the end of a page, where the first instruction stores at 0AH. The next page is absent."""
    registers = [0] * 16
    registers[0], registers[4], registers[5] = 0xA, layout.STACK_POINTER, layout.INTERRUPT_STACK_TOP - 0x10
    result = Bench(portable=portable).run(Program(bytes.fromhex("ffe5"), ring=0, registers=tuple(registers)))
    assert (result.end, result.vector, result.registers["CR2"]) == (End.TAKEN, 14, 0xA)
