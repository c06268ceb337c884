"""Flags that an instruction does not change are those of the preceding one (SDM volume 1, appendix A)."""

from functools import cache

import pytest

from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, Program
from tests.sampling import sampled

STRINGS = ["F3 6C", "F2 6D", "66 F3 6D", "F3 6E", "F3 A4", "F3 AB", "F3 AC", "6C", "6E"]
SYSTEM = ["0F 31", "66 0F 31", "0F 01 F9", "0F A2", "0F 20 C0", "0F 21 C0", "0F 09", "EC", "EF", "E4 80", "F3 90"]
MOVES = [
    "0F AE F8",
    "0F 18 06",
    "0F 44 C1",
    "0F 94 C0",
    "50 58",
    "9C 58",
    "0F C8",
    "F3 0F 6F 06",
    "D9 EE",
    "E8 00 00 00 00",
]
UNCHANGING = [*STRINGS, *SYSTEM, *MOVES]
CHANGING_ZF_AT_MOST = ["E0 00", "E1 00", "67 E1 00", "66 E0 00", "0F C7 0E", "F0 0F C7 0E", "48 0F C7 0E"]
"""LOOPNE, LOOPE, CMPXCHG8B and CMPXCHG16B."""
BEFORE = ["80 FD 67", "28 C8", "48 01 C8", "F6 D8", "D0 E0", "F7 E1", "F3 48 0F B8 C1", "A8 90"]
KINDS = ["", "portable", "stepping", "observed", "piecewise"]
ZF = 1 << 6


@cache
def bench(kind: str) -> Bench:
    return Bench(**({kind: True} if kind else {}))


def flags_after(text: str, kind: str, count: int, page: int = layout.DATA) -> int:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": page + 0x800, "RAX": 0x88, "RCX": count, "RDX": 0xF000}
    values |= {"RSI": page + 0x400, "RDI": page + 0x440}
    program = Program(bytes.fromhex(text), ring=0, registers=tuple(values.values()), rflags=0xA02)
    return bench(kind).run(program, floating_point=False).registers["RFLAGS"]


@cache
def flags_of(before: str, kind: str, count: int) -> int:
    """The flags after the first instruction alone."""
    return flags_after(before, kind, count)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", UNCHANGING)
@pytest.mark.parametrize("before", sampled(BEFORE, "80 FD 67", "F6 D8", "F3 48 0F B8 C1"))
def test_the_flags_of_the_instruction_before_stay(before: str, code: str, kind: str) -> None:
    """Unicorn loses them at REP INS, REP OUTS and RDTSC if it translates both instructions in one block.

    It loses them at REP STOS, PUSHF and others if a hook observes their memory accesses.
    """
    assert flags_after(f"{before} {code}", kind, 0x12) == flags_of(before, kind, 0x12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CHANGING_ZF_AT_MOST)
@pytest.mark.parametrize("before", sampled(BEFORE, "80 FD 67", "F6 D8", "F3 48 0F B8 C1"))
def test_all_but_zf_stay(before: str, code: str, kind: str) -> None:
    """Unicorn loses them at CMPXCHG8B, and if LOOPE and LOOPNE have counted down to 0."""
    assert flags_after(f"{before} {code}", kind, 1) & ~ZF == flags_of(before, kind, 1) & ~ZF


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [*STRINGS, "F3 AA", "9C 58", "50", "E8 00 00 00 00"])
@pytest.mark.parametrize("before", sampled(BEFORE, "80 FD 67", "F6 D8", "F3 48 0F B8 C1"))
def test_they_stay_where_an_executed_page_is_written(before: str, code: str, kind: str) -> None:
    assert flags_after(f"{before} {code}", kind, 2, layout.CODE) == flags_of(before, kind, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", [layout.DATA, layout.CODE])
def test_a_stop_sees_the_flags_of_the_second_of_two_equal_instructions(page: int, kind: str) -> None:
    """ADD [RSI], AL twice, and CPUID, before which the engine stops."""
    add = "00 06 00 06"
    assert flags_after(f"{add} 0F A2", kind, 0, page) == flags_after(f"{add} 0F A2", "piecewise", 0, page)
