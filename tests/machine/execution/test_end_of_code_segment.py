"""The end of a code segment of 64 KiB with a default operand size of 16 bits (SDM volume 1, 3.5, and volume 3, 5.3)."""

from typing import Any

import pytest

from machine.architecture.exceptions import GP, UD
from machine.boot import loader
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.assembler import Assembler
from tests.machine.conftest import Log, Ran
from tests.sampling import sampled

CODE_16, TRAP = 0x38, 0x81
UD2_AT_14 = "movl $0x0B0F, 14; "


@pytest.fixture(params=sampled([False, True], False), ids=["native", "portable"])
def at_the_end(assembler: Assembler, request: pytest.FixtureRequest) -> Any:
    """Store instructions as the last bytes of the segment, and jump to them. A text is a body to execute before."""

    def run(code: str, before: str = "") -> Ran:
        last = bytes.fromhex(code)
        stores = "".join(f"movb ${byte}, {0x1_0000 - len(last) + at}; " for at, byte in enumerate(last))
        machine = Machine(MachineConfiguration(16 << 20, portable=request.param), Log())
        body = f"{before} {stores} ljmp ${CODE_16}, ${0x1_0000 - len(last)}"
        loader.load(machine, assembler.build("kernel32.S", body, RING=0, PAGING=0))
        return Ran(machine, machine.run(200_000), [])

    return run


@pytest.mark.parametrize("code", ["90", "40", "6690", "d9d0", "8cd8"])  # NOP, INC AX, NOP, FNOP, MOV AX, DS
def test_ip_does_not_wrap_from_one_instruction_to_the_next(at_the_end: Any, code: str) -> None:
    (taken,) = at_the_end(code).taken
    assert (taken.vector, taken.error_code, taken.cs, taken.rip) == (GP, 0, CODE_16, 0x1_0000)


def test_an_instruction_across_the_limit_is_gp_before_it(at_the_end: Any) -> None:
    (taken,) = at_the_end("9066b8").taken  # NOP; MOV EAX, of which the immediate is beyond
    assert (taken.vector, taken.rip) == (GP, 0xFFFE)


def test_an_undefined_instruction_across_the_limit_is_gp(at_the_end: Any) -> None:
    (taken,) = at_the_end("900f38", "movb $0xFF, 0x10000;").taken  # NOP; 0F 38 FF, which does not exist
    assert (taken.vector, taken.rip) == (GP, 0xFFFE)


@pytest.mark.parametrize("code", ["eb0e", "e90e00", "31c940e30e"])  # JMP; JMP of 16 bits; XOR CX, CX; INC AX; JCXZ
def test_a_branch_takes_ip_modulo_64_kib(at_the_end: Any, code: str) -> None:
    (taken,) = at_the_end(code, UD2_AT_14).taken
    assert (taken.vector, taken.cs, taken.rip) == (UD, CODE_16, 14)


def test_a_call_at_the_end_returns_to_0(at_the_end: Any) -> None:
    ran = at_the_end("e80e00", "movl $0x12345678, -4(%esp);" + UD2_AT_14)
    (taken,) = ran.taken
    assert (taken.vector, taken.rip) == (UD, 14)
    assert ran.outcome is Outcome.HALTED
    pushed = ran.machine.cpu.registers.rsp + 5 * 4  # before the frame of #UD, its error code and its vector
    assert ran.machine.ram.read(pushed, 2) == b"\0\0"


BRANCHES_BEYOND = {
    "jmp": "66e900010000",
    "call": "66e800010000",
    "jz": "660f8400010000",
    "short": "66eb10",
    "loop": "66e210",
    "loop by ECX": "6766e210",
    "jcxz": "89c9 31c9 66e310",
    "jmp ebx": "66ffe3",
    "call ebx": "66ffd3",
    "jmp [esi]": "6766ff26",
    "call [esi]": "6766ff16",
}


@pytest.mark.parametrize("name", BRANCHES_BEYOND)
def test_a_branch_beyond_the_limit_is_gp_at_the_branch_and_changes_nothing(at_the_end: Any, name: str) -> None:
    code = BRANCHES_BEYOND[name]
    at = 0x1_0000 - len(bytes.fromhex(code)) + (4 if name == "jcxz" else 0)
    state = "movl $0x12345678, -4(%esp); movl $0x10000, %ebx; movl $0x10000, %ecx; movl $0x5000, %esi;"
    count = 0x1_0002 if name.startswith("loop") else 0x1_0000
    ran = at_the_end(code, f"{state} movl $0x10000, (%esi); movl ${count}, %ecx; xorl %eax, %eax;")
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code, taken.cs, taken.rip) == (GP, 0, CODE_16, at)
    assert ran.machine.cpu.registers.rcx == (0x1_0000 if name == "jcxz" else count)


@pytest.mark.parametrize("code", ["660f8500010000", "66e210"])  # JNZ with ZF; LOOP of the last turn
def test_a_branch_that_is_not_taken_may_have_a_target_beyond(at_the_end: Any, code: str) -> None:
    (taken,) = at_the_end(code, "xorl %eax, %eax; movl $0x10001, %ecx;").taken
    assert (taken.vector, taken.cs, taken.rip) == (GP, CODE_16, 0x1_0000)


def test_an_interrupt_after_the_last_instruction_saves_what_is_beyond(at_the_end: Any) -> None:
    (taken,) = at_the_end(f"cd{TRAP:02x}").taken
    assert (taken.vector, taken.cs, taken.rip) == (TRAP, CODE_16, 0x1_0000)
