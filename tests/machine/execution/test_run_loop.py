"""How far the processor runs: to the limit and no further, also where time passes without instructions."""

from dataclasses import replace

import pytest

from machine.architecture.exceptions import PF
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, End, Mode, Program


@pytest.mark.slow
def test_a_handler_that_faults_at_once_runs_to_the_limit_exactly() -> None:
    """REP STOSB destroys the handlers, and an instruction faults. Each further fault takes 1 ns."""
    values = dict.fromkeys(GENERAL, 0) | {"RAX": 2, "RCX": 216, "RDI": layout.HANDLERS + 1, "RSP": layout.STACK_POINTER}
    program = Program(bytes.fromhex("fcf3aa") + b"\xa1" + layout.ABSENT.to_bytes(4, "little"), Mode.PROTECTED, 0)
    native, stepping = Bench(), Bench(stepping=True)
    ends = []
    for limit in range(280, 320):
        endless = Program(program.code, program.mode, 0, registers=tuple(values.values()), limit=limit)
        result = native.run(endless, floating_point=False)
        assert result.end is End.LIMIT
        assert result == stepping.run(endless, floating_point=False)
        ends.append(native.machine.clock.now_ns)
    assert ends == list(range(ends[0], ends[0] + len(ends)))


@pytest.mark.parametrize("options", [{}, {"portable": True}, {"stepping": True}], ids=str)
@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
@pytest.mark.parametrize("code", ["6690", "d9d0", "8cd8", "0f00c0"])  # NOP, FNOP, MOV EAX, DS, SLDT EAX
def test_an_interrupt_after_the_last_instruction_below_4_gib_returns_to_0(
    code: str, mode: Mode, options: dict[str, bool]
) -> None:
    """EIP wraps; IRETQ would refuse any more. No page is there."""
    last, bench = bytes.fromhex(code), Bench(**options)
    at = (-len(last) & 0xFFFF_FFFF).to_bytes(4, "little")
    stores = b"".join(
        b"\xc6\x05" + (int.from_bytes(at, "little") + n).to_bytes(4, "little") + last[n : n + 1]
        for n in range(len(last))
    )
    program = Program(stores + b"\xb8" + at + b"\xff\xe0", mode)  # mov byte [], ...; mov eax, at; jmp eax
    whole = bench.run(program)
    assert (whole.vector, whole.registers["RIP"]) == (PF, 0)
    for count in range(whole.retired + 1):
        interrupted = bench.run(replace(program, interrupt_at=count))
        assert (interrupted.vector, interrupted.registers) == (PF, whole.registers)
