"""A jump to itself: each time is an instruction of its own, though its address is that of the last one executed."""

from typing import Any

import pytest

from machine.architecture.exceptions import PF
from machine.machine import Machine, Outcome
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import End, Mode, Program
from tests.machine.programs.tables import page_tables

BENCHES: dict[str, dict[str, Any]] = {
    "native": {},
    "portable": {"portable": True},
    "stepping": {"stepping": True},
    "by block": {"by_block": True},
}
JUMP = b"\xeb\xfe"


@pytest.fixture(params=list(BENCHES.values()), ids=list(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(**request.param)


def jumping(bench: Bench, mode: Mode = Mode.LONG) -> Machine:
    """A machine that has executed the jump a few times."""
    result = bench.run(Program(b"\x90" + JUMP, mode, limit=20), floating_point=False)
    assert (result.end, result.registers["RIP"]) == (End.LIMIT, layout.CODE + 1)
    return bench.machine


def test_a_stop_comes_before_each_jump(bench: Bench) -> None:
    machine = jumping(bench)
    machine.stop_at([layout.CODE + 1])
    began, retired = machine.clock.now_ns, machine.cpu.hook.retired
    try:
        seen = []
        for _ in range(5):
            assert machine.run(began + 100) is Outcome.STOPPED
            assert machine.cpu.rip == layout.CODE + 1
            seen.append(machine.cpu.hook.retired - retired)
    finally:
        machine.stop_at()
    assert seen == list(range(seen[0], seen[0] + 5))
    assert machine.clock.now_ns - began == seen[-1]
    assert machine.run(began + 100) is Outcome.LIMIT
    assert machine.cpu.hook.retired - retired == 100


def test_a_breakpoint_of_software_comes_before_each_jump(bench: Bench) -> None:
    """DR0 with L0, RF clear: #DB before the jump, which has been executed before."""
    machine = jumping(bench)
    machine.cpu.debug.write(0, layout.CODE + 1)
    machine.cpu.debug.write(7, 0x401)
    retired = machine.cpu.hook.retired
    machine.run(machine.clock.now_ns + 100)
    assert machine.halted
    assert machine.cpu.hook.retired == retired + 1  # HLT of the handler
    assert bench._last.interrupt is not None
    assert (bench._last.interrupt.vector, bench._last.interrupt.rip) == (1, layout.CODE + 1)


@pytest.mark.parametrize("mode", Mode)
def test_a_jump_that_can_no_longer_be_fetched_was_executed(bench: Bench, mode: Mode) -> None:
    """Another bus master has removed its page; the last jump stays counted."""
    machine = jumping(bench, mode)
    entry = 0x30000 | 0x27 | 0x40
    tables = page_tables(3)
    at = layout.TABLES + next(
        at for at in range(0, len(tables), 8) if tables[at : at + 4] == entry.to_bytes(4, "little")
    )
    machine.ram.write(at, bytes(8))
    machine.cpu.engine.paging.flush_tlb()
    now, retired = machine.clock.now_ns, machine.cpu.hook.retired
    assert machine.step() is None
    assert bench._last.interrupt is not None
    assert (bench._last.interrupt.vector, bench._last.interrupt.rip) == (PF, layout.CODE + 1)
    assert machine.cpu.hook.retired == retired
    assert machine.clock.now_ns == now
