"""Repeated string instructions can be interrupted between iterations (SDM volume 2, REP; volume 3, 18.3.1.1)."""

from functools import cache

import pytest

from machine.architecture.exceptions import DB, PF
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, Mode, Program

FLAG_TF, FLAG_RF = 1 << 8, 1 << 16


@cache
def bench(kind: str) -> Bench:
    return Bench(**({kind: True} if kind else {}))


def after_one_step(code: str, count: int) -> tuple[int | None, int, int, bool]:
    """Vector, RIP from the program's start, RCX, and RF in the frame of a single-step trap."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": count}
    values |= {"RSI": layout.DATA, "RDI": layout.DATA + 64}
    result = Bench().run(Program(bytes.fromhex(code), registers=tuple(values.values()), rflags=0x202 | FLAG_TF))
    registers = result.registers
    return result.vector, registers["RIP"] - layout.CODE, registers["RCX"], bool(registers["RFLAGS"] & FLAG_RF)


@pytest.mark.parametrize("code", ["F3 A4", "F2 A5", "F3 AB", "F3 AC", "F3 A6"])
def test_a_trap_between_two_iterations_pushes_rf(code: str) -> None:
    assert after_one_step(code, 3) == (DB, 0, 2, True)


@pytest.mark.parametrize("code", ["F3 A4", "F3 AB"])
def test_a_trap_after_the_last_iteration_does_not(code: str) -> None:
    assert after_one_step(code, 1) == (DB, 2, 0, False)


def test_nor_does_one_after_a_jump_to_itself() -> None:
    assert after_one_step("EB FE", 3) == (DB, 0, 3, False)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("string", ["F3 AC", "F3 A4", "F3 A6", "F2 AE", "F3 6C"])
@pytest.mark.parametrize("before", ["8E D2", "FB", "FB FB", "8E D2 8E D2", "90"])
def test_after_sti_and_mov_ss_it_counts_the_same_however_it_is_executed(before: str, string: str, count: int) -> None:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": count, "RDX": layout.KERNEL_DATA}
    values |= {"RSI": layout.DATA, "RDI": layout.DATA + 64}
    program = Program(bytes.fromhex(f"{before} {string}"), ring=0, registers=tuple(values.values()), rflags=2)
    results = [bench(kind).run(program, floating_point=False) for kind in ("", "portable", "stepping", "piecewise")]
    assert results == [results[0]] * 4


@pytest.mark.parametrize("kind", ["", "portable", "stepping", "piecewise", "observed", "by_block"])
@pytest.mark.parametrize("code", ["F3 A6", "F2 A7", "F3 AE", "48 F2 AF", "F2 48 AF", "64 2E F3 A6"])
@pytest.mark.parametrize("mode", [Mode.LONG, Mode.COMPATIBILITY])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_comparison_that_faults_leaves_the_flags_as_they_were_before_it(
    code: str, mode: Mode, kind: str, aligned: bool
) -> None:
    """SDM volume 2, REP. RDI leaves its page in the third iteration; all bytes are 0, and so is RAX with REPE."""
    equal = code.startswith("F3") or "F3" in code
    size = 1 if code[-1] in "6E" else 8 if "48 AF" in code and mode is Mode.LONG else 4
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": 9, "RAX": 0 if equal else 1}
    values |= {"RSI": layout.DATA + 0x100, "RDI": layout.DATA + 0x2000 - 2 * size}
    data = bytes(0x100) + (b"" if equal else b"\1" * 0x100)
    code = code if mode is Mode.LONG else code.replace("48 ", "")
    flags = 0x202 | 0x8D5 | (1 << 18 if aligned else 0)
    program = Program(bytes.fromhex(code), mode, 3, tuple(values.values()), flags, data=data)
    result = bench(kind).run(program, floating_point=False)
    assert (result.vector, result.registers["RCX"]) == (PF, 7)
    assert result.registers["RFLAGS"] == flags | FLAG_RF


@pytest.mark.parametrize("kind", ["", "portable", "stepping", "piecewise", "by_block"])
def test_a_comparison_after_an_interrupt_begins_again(kind: str) -> None:
    """The flags of the last iteration before the interrupt are those that the handler returns to."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": 9, "RDI": layout.DATA + 0x2000 - 4}
    program = Program(bytes.fromhex("F3 AE"), registers=tuple(values.values()), rflags=0x202 | 0x891, interrupt_at=2)
    result = bench(kind).run(program, floating_point=False)
    assert (result.vector, result.registers["RCX"]) == (PF, 5)
    assert result.registers["RFLAGS"] == 0x202 | 0x44 | FLAG_RF
