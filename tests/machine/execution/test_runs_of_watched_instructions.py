"""Watched instructions in a row are executed without entering the engine between them, and nobody can tell."""

from collections.abc import Callable
from typing import Any

import pytest

from machine.machine import Outcome
from machine.processor.engine import Engine
from machine.processor.step_hook import Stop
from tests.machine.booted import booted
from tests.machine.whole_state import everything
from tests.sampling import sampled

ROUNDS = 3
CLEARING = "fninit;" + "fldz;" * 8 + "fninit;"
OTHER = "fld1; fldpi; fadd %st(1), %st; fxch; fptan; fstp %st(0); fsqrt; fninit;"
SYSTEM = "movq %cr0, %rax; movq %cr4, %rbx; movq %rax, %dr1; cpuid; rdtsc;"
LOOKED_AT = "lock; negq 0x240000; .byte 0x40, 0x9f; movl $1, %ecx; 2: loope 2b;"
ROUND = f"{CLEARING} {OTHER} {SYSTEM} {LOOKED_AT}"
MIXED = f"movl ${ROUNDS}, %esi; 1: .globl here; fld1; fld1; here: {ROUND} decl %esi; jnz 1b; hlt"
PENDING = "movq %cr0, %rax; orl $0x20, %eax; movq %rax, %cr0; movw $0x37B, 0x240000; fninit; fldcw 0x240000;"


@pytest.mark.parametrize("portable", sampled([False, True], False))
def test_running_is_stepping(assemble: Any, portable: bool) -> None:
    image = assemble(MIXED, 0, 2, 0)
    running, recorded = booted(image, portable=portable)
    stepping, stepped = booted(image, portable=portable)
    assert running.run() is Outcome.HALTED
    while stepping.step() is None:
        pass
    assert stepped.events == recorded.events
    assert everything(stepping) == everything(running)


def test_a_limit_within_a_run_is_exact(assemble: Any, share: Callable[[int], int]) -> None:
    image = assemble(MIXED, 0, 2, 0)
    whole, _ = booted(image)
    whole.run()
    end_ns = whole.clock.now_ns
    stepping, _ = booted(image)
    limited, _ = booted(image)
    for at_ns in range(end_ns - share(100), end_ns):
        while stepping.clock.now_ns < at_ns:
            stepping.step()
        assert limited.run(at_ns) is Outcome.LIMIT
        assert limited.clock.now_ns == at_ns
        assert everything(limited) == everything(stepping)


def test_a_stop_within_a_run_is_before_its_address(assemble: Any) -> None:
    machine, _ = booted(assemble(f"fninit; fldz; fld1; .byte 0xeb, 0; {MIXED}", 0, 2, 0))
    begun = machine.snapshot()
    addresses = set()
    while machine.step() is None:
        addresses.add(machine.cpu.linear_rip)
    machine.restore(begun)
    for address in sorted(addresses)[-40:-1]:
        machine.stop_at([address])
        machine.restore(begun)
        assert machine.run() is Outcome.STOPPED
        assert machine.at_stop
        assert machine.cpu.linear_rip == address


@pytest.mark.parametrize("before", range(4))
def test_a_fault_within_a_run_is_at_its_instruction(kernel: Any, before: int) -> None:
    """A division by zero is pending after it, and the next waiting instruction raises #MF."""
    ran = kernel(PENDING + "fldz; fld1;" + "fxch;" * 2 * before + "fdiv %st(1), %st; 1: fld1; fldz; ud2")
    assert [taken.vector for taken in ran.taken] == [16]
    alone = kernel(PENDING + "fldz; fld1;" + "fxch; nop;" * 2 * before + "fdiv %st(1), %st; nop; fld1; fldz; ud2")
    assert alone.taken[0].rip - ran.taken[0].rip == 2 * before + 1
    assert alone.machine.cpu.context.x87[:8] == ran.machine.cpu.context.x87[:8]


SSE_ON = "movq %cr4, %rax; orw $0x600, %ax; movq %rax, %cr4; movl $0, 0x240000;"
UNMASKED = SSE_ON + "ldmxcsr 0x240000;" + "addps %xmm1, %xmm0; mulps %xmm0, %xmm1; cmpps $1, %xmm0, %xmm1;" * 30
UNUSUAL = ".byte 0x40, 0x9f; .byte 0x66, 0xe9, 0, 0, 0, 0; lock; negl 0x240000;" * 30
"""LAHF with REX, JMP with 66H."""


@pytest.mark.parametrize("code", [(CLEARING + OTHER) * 4, UNMASKED, UNUSUAL], ids=["x87", "unmasked", "unusual"])
def test_the_engine_is_not_entered_in_between(assemble: Any, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    entries, original = [0], Engine.execute

    def counting(engine: Engine) -> Stop:
        entries[0] += 1
        return original(engine)

    monkeypatch.setattr(Engine, "execute", counting)
    without, _ = booted(assemble("hlt", 0, 2, 0))
    without.run()
    fewest, entries[0] = entries[0], 0
    machine, _ = booted(assemble(f"{code} hlt", 0, 2, 0))
    machine.run()
    assert entries[0] <= fewest + 6
