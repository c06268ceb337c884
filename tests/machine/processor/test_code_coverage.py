"""Coverage of code: what was executed, noted alike by the three ways of counting, and changing nothing."""

from dataclasses import replace

import pytest
from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim import Enclave
from enclave_sim.specification import EngineName
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration
from machine.processor.block_clock import NEVER_WARM
from machine.processor.code_coverage import CodeCoverage, Mark
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.loops import SNIPPETS, SNIPPETS_32, loop, loop_32
from tests.machine.programs.program import Mode, Program, Result

WHERE = range(layout.CODE, layout.CODE + 0x2000)
KERNEL = range(0x100000, 0x130000)


def covered(program: Program, kind: str) -> tuple[Result, CodeCoverage]:
    bench = Bench(by_block=kind == "by block", portable=kind == "portable", stepping=kind == "stepping")
    if kind == "by instruction":
        bench.machine.cpu.hook.warm_up = NEVER_WARM
    coverage = bench.machine.cover(WHERE)
    assert coverage is not None
    return bench.run(program), coverage


def edges(program: Program, coverage: CodeCoverage) -> tuple[set[int], set[tuple[int, int]]]:
    """Return the instructions that have begun, and the transfers to others than the one that follows.

    A transfer to the next instruction may be noted in either way, according to who executes the two.
    """
    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if program.mode is Mode.LONG else CS_MODE_32)
    code = {one.address: one.size for one in decoder.disasm(program.code, layout.CODE)}
    begun = {WHERE[index] for index, mark in enumerate(coverage.marks) if mark & Mark.BEGUN}
    return begun, {(from_, to) for from_, to in coverage.transfers if to != from_ + code.get(from_, 0)}


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_loop_is_covered_alike_counted_either_way(name: str) -> None:
    program = loop(bytes.fromhex(SNIPPETS[name]))
    expected_result, expected = covered(program, "by instruction")
    for kind in ("by block", "stepping"):
        result, coverage = covered(program, kind)
        assert result == expected_result
        assert edges(program, coverage) == edges(program, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", SNIPPETS)
def test_a_loop_is_covered_alike_by_the_portable_hook(name: str) -> None:
    program = loop(bytes.fromhex(SNIPPETS[name]), rounds=5)
    assert edges(program, covered(program, "portable")[1]) == edges(program, covered(program, "by instruction")[1])


@pytest.mark.parametrize("name", SNIPPETS_32)
def test_a_loop_of_32_bit_code_is_covered_alike(name: str) -> None:
    program = loop_32(bytes.fromhex(SNIPPETS_32[name]), Mode.PROTECTED)
    expected_result, expected = covered(program, "by instruction")
    result, coverage = covered(program, "by block")
    assert result == expected_result
    assert edges(program, coverage) == edges(program, expected)


@given(st.lists(st.sampled_from(sorted(SNIPPETS)), min_size=1, max_size=8), st.integers(1, 3000), st.integers(0, 3000))
def test_limits_and_interrupts_change_nothing_of_that(names: list[str], limit: int, at: int) -> None:
    program = loop(bytes.fromhex(" ".join(SNIPPETS[name] for name in names)))
    program = replace(program, limit=limit, interrupt_at=at)
    assert edges(program, covered(program, "by block")[1]) == edges(program, covered(program, "by instruction")[1])


def test_an_instruction_that_was_not_executed_is_not_covered() -> None:
    program = Program(bytes.fromhex("eb01 90 31c0 7402 ffc0 0f0b"))  # JMP over NOP; XOR; JZ over INC; UD2
    _, coverage = covered(program, "by instruction")
    begun, transfers = edges(program, coverage)
    at = layout.CODE
    assert begun == {at, at + 3, at + 5, at + 9}
    assert transfers == {(at, at + 3), (at + 5, at + 9)}
    assert coverage.marks[5] & Mark.IN_SEQUENCE
    assert not coverage.marks[9] & Mark.IN_SEQUENCE


@pytest.mark.slow
@pytest.mark.parametrize("engine", EngineName)
def test_the_kernel_is_covered_alike_in_every_way_and_its_digest_stays(engine: EngineName) -> None:
    payload = "quitter" if engine is EngineName.NATIVE else "beacon"
    digest = Enclave(payload, engine=engine).run().digest
    found = []
    for warm_up in (NEVER_WARM, 0):
        enclave = Enclave(payload, engine=engine)
        enclave.machine.cpu.hook.warm_up = warm_up
        coverage = enclave.machine.cover(KERNEL)
        assert coverage is not None
        assert enclave.run().digest == digest
        found.append((coverage.marks, set(coverage.transfers)))
    assert found[0] == found[1]
    assert sum(map(bool, found[0][0])) > 2000


@pytest.mark.slow
def test_the_boot_is_covered_alike_by_the_portable_hook() -> None:
    found = []
    for portable in (False, True):
        enclave = Enclave("beacon", portable=portable)
        coverage = enclave.machine.cover(KERNEL)
        assert coverage is not None
        enclave.boot()
        found.append((coverage.marks, set(coverage.transfers)))
    assert found[0] == found[1]


def test_a_state_that_is_loaded_does_not_follow_what_was_executed_before() -> None:
    enclave = Enclave("beacon")
    enclave.boot()
    start = enclave.snapshot()
    coverage = enclave.machine.cover(KERNEL)
    assert coverage is not None
    enclave.run()
    begun, transfers = [bool(mark) for mark in coverage.marks], set(coverage.transfers)
    for _ in range(2):
        enclave.restore(start)
        enclave.run()
    assert ([bool(mark) for mark in coverage.marks], set(coverage.transfers)) == (begun, transfers)


def test_an_impossible_range_is_refused() -> None:
    machine = Machine(MachineConfiguration(1 << 20))
    with pytest.raises(MachineError, match="coverage of 0 bytes of code; it must be 1 to"):
        machine.cover(range(0))
    with pytest.raises(MachineError, match="coverage of 1,073,741,824 bytes of code"):
        machine.cover(range(1 << 30))
