"""Near branches with 66H in 64-bit mode: the prefix has no effect on this vendor's processors (SDM volume 2)."""

from dataclasses import replace

import pytest

from machine.instructions.general.near_branch import condition
from tests.machine.instructions.programs import CODE, DATA, Program, State, UserMachine

GP, PF = 13, 14
TARGET = DATA + 0x40
GENERAL = (0, 3, 0, TARGET, DATA + 0x80, 0, 0, 0, *(0,) * 8)
RETURN = bytes(0x80) + TARGET.to_bytes(8, "little") + bytes(0x78)
BRANCHES = {
    "jmp rel8": "eb10",
    "jmp rel32": "e910000000",
    "call rel32": "e810000000",
    "call rbx": "ffd3",
    "jmp rbx": "ffe3",
    "jmp m64": "ff2425" + (DATA + 0x80).to_bytes(4, "little").hex(),
    "ret": "c3",
    "ret 16": "c21000",
    "loop": "e210",
    "loope": "e110",
    "loopne": "e010",
    "jrcxz": "e310",
    "jecxz": "67e310",
    "loop, ECX": "67e210",
    **{f"j{code:x} rel8": f"{0x70 | code:x}10" for code in range(16)},
    **{f"j{code:x} rel32": f"0f{0x80 | code:x}10000000" for code in range(16)},
}


def run(machine: UserMachine, code: bytes, rflags: int, rcx: int) -> State:
    """Wherever it goes there is no code: UD2 or zeros."""
    general = (0, rcx, *GENERAL[2:])
    return machine.run(Program(code, State(general, rflags=0x202 | rflags, memory=RETURN)))


@pytest.mark.parametrize("name", BRANCHES)
def test_the_prefix_is_ignored(user_machine: UserMachine, name: str) -> None:
    code = bytes.fromhex(BRANCHES[name])
    for rflags, rcx in ((0, 3), (0x8D5, 1), (0x40, 0), (0x80, 1 << 32), (0x800, (1 << 32) + 1), (0x4, 0)):
        plain = run(user_machine, b"\x3e" + code, rflags, rcx)  # a segment override has no effect either
        assert run(user_machine, b"\x66" + code, rflags, rcx) == plain
        assert plain.rip != CODE


def test_a_target_that_is_not_canonical_is_refused_before_anything_changes(user_machine: UserMachine) -> None:
    for code in ("ffd3", "66ffd3", "66ffe3"):
        program = Program(
            bytes.fromhex(code), State(replace(State(), general=(0, 0, 0, 1 << 47, *GENERAL[4:])).general)
        )
        end = user_machine.run(program)
        assert (end.vector, end.rip, end.general[4]) == (GP, CODE, GENERAL[4])
        assert end.memory == program.start.memory


def test_conditions_by_number() -> None:
    """Pairs of the manual's table: each odd one is the opposite of the preceding even one."""
    cf, pf, zf, sf, of = 1, 4, 64, 128, 2048
    holds = {0: of, 2: cf, 4: zf, 6: zf, 8: sf, 10: pf, 12: sf, 14: zf}
    for code, flag in holds.items():
        assert condition(code, flag)
        assert not condition(code, 0)
        assert not condition(code + 1, flag)
    assert condition(6, cf)
    assert condition(12, of)
    assert not condition(12, sf | of)
    assert condition(14, of)
