"""Limits, types and null selectors of segments outside 64-bit mode (SDM volume 3, 5.3 and 5.5).

The expected values are computed here from the selector's descriptor in tests/machine/programs/tables.py.
"""

from dataclasses import dataclass, replace
from functools import cache

import pytest

from machine.architecture.exceptions import GP, SS
from machine.machine import Outcome
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, End, Mode, Program, Result
from tests.sampling import sampled

MODES = (Mode.COMPATIBILITY, Mode.PROTECTED)


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def run(code: bytes, mode: Mode, *, esi: int = layout.DATA, edi: int = 0, ring: int = 3) -> Result:
    """A program with ESI at data, EDI at choice."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RSI": esi, "RDI": edi}
    program = Program(code, mode, ring, registers=tuple(values.values()))
    native, portable = bench(False).run(program), bench(True).run(program)
    assert native == portable
    return native


LOADS = {"ds": b"\x8e\xd8", "fs": b"\x8e\xe0", "gs": b"\x8e\xe8"}
PREFIXES = {"ds": b"", "fs": b"\x64", "gs": b"\x65"}


def load(register: str, selector: int) -> bytes:
    return b"\xb8" + selector.to_bytes(4, "little") + LOADS[register]  # mov eax, selector; mov register, eax


@dataclass(frozen=True)
class Segment:
    """A segment of tables.py; valid offsets are in `inside`."""

    selector: int
    inside: range
    writable: bool = True


WHOLE, PAGE = range(1 << 32), range(0x1000)
SEGMENTS = {
    "flat": Segment(layout.USER_DATA, WHOLE),
    "read-only": Segment(layout.READ_ONLY_DATA, WHOLE, writable=False),
    "small": Segment(layout.SMALL_DATA, PAGE),
    "expand-down": Segment(layout.EXPAND_DOWN_DATA, range(0x2_0000, 1 << 32)),
    "null": Segment(0, range(0)),
}
ACCESSES = {
    "maskmovq mm0, mm0": (b"\x0f\xf7\xc0", 8, True),
    "maskmovdqu xmm0, xmm0": (b"\x66\x0f\xf7\xc0", 16, True),
    "mov al, [edi]": (b"\x8a\x07", 1, False),
    "mov eax, [edi]": (b"\x8b\x07", 4, False),
    "mov [edi], ax": (b"\x66\x89\x07", 2, True),
    "add [edi], eax": (b"\x01\x07", 4, True),
    "movdqu xmm0, [edi]": (b"\xf3\x0f\x6f\x07", 16, False),
    "fldenv [edi]": (b"\xd9\x27", 28, False),
    "fxsave [edi]": (b"\x0f\xae\x07", 512, True),
    "push [edi]": (b"\xff\x37", 4, False),
    "cmpxchg8b [edi]": (b"\x0f\xc7\x0f", 8, True),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("register", LOADS)
@pytest.mark.parametrize("name", SEGMENTS)
def test_an_access_outside_the_segment_or_against_its_type_is_gp(
    name: str, register: str, access: str, mode: Mode
) -> None:
    segment, (code, size, writes) = SEGMENTS[name], ACCESSES[access]
    allowed = segment.writable or not writes
    aligned = 16 if size > 16 else 1
    offsets = {
        "small": [0x1000 - size, 0x1000 - size + aligned, 0xFFF0],
        "expand-down": [0x1_FFF0, 0x1_FFFF & -aligned, layout.DATA],
    }.get(name, [layout.DATA])
    for offset in offsets:
        result = run(load(register, segment.selector) + PREFIXES[register] + code, mode, edi=offset)
        inside = offset in segment.inside and offset + size - 1 in segment.inside
        if inside and allowed:
            assert result.end is End.DONE
        else:
            assert (result.vector, result.error_code) == (GP, 0), hex(offset)
            assert (result.memory, result.registers["RIP"]) == ((), layout.CODE + 7)


@pytest.mark.parametrize("mode", MODES)
def test_a_stack_beyond_its_limit_is_ss(mode: Mode) -> None:
    load_ss = b"\xb8" + layout.SMALL_DATA.to_bytes(4, "little") + b"\x8e\xd0"
    for code in (b"\x50", b"\x58", b"\xe8\x00\x00\x00\x00", b"\x9c", b"\x60", b"\x8b\x04\x24"):
        result = run(load_ss + code, mode)
        assert (result.vector, result.error_code, result.memory) == (SS, 0, ())


def test_64_bit_mode_has_no_limits() -> None:
    assert run(load("ds", layout.SMALL_DATA) + b"\x8b\x06", Mode.LONG).end is End.DONE


@pytest.mark.parametrize("selector", [0, layout.SMALL_DATA])
@pytest.mark.parametrize("mode", MODES)
def test_only_what_names_fs_or_gs_is_looked_at_while_the_others_are_flat(mode: Mode, selector: int) -> None:
    """Nulls are there in 32-bit code of most systems. ADD EAX, [ESI]; DEC ECX; JNZ, a thousand times."""
    made = Bench()
    entered = count_calls(made.machine.cpu.engine, "execute")
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RSI": layout.DATA}
    loop = b"\xb9" + (1000).to_bytes(4, "little") + b"\x03\x06\x49\x75\xfb"
    code = load("fs", selector) + load("gs", selector) + loop
    assert made.run(Program(code, mode, registers=tuple(values.values()), limit=5000)).retired > 3000
    assert len(entered) < 100


def count_calls(of: object, name: str) -> list[str]:
    """A list that grows with each call of a method."""
    calls, method = list[str](), getattr(of, name)

    def counted() -> object:
        calls.append(name)
        return method()

    setattr(of, name, counted)
    return calls


def test_a_comparison_that_leaves_a_segment_after_a_snapshot_restores_the_flags_too() -> None:
    """SDM volume 2, REP: as before the first iteration, which only the machine of the snapshot has executed."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": 100}
    values |= {"RSI": 0xFFF, "RDI": layout.DATA}
    code = load("ds", layout.SMALL_DATA) + b"\x09\xe4\xf3\xa6"  # or esp, esp; repe cmpsb
    program = Program(code, Mode.COMPATIBILITY, registers=tuple(values.values()))
    here, elsewhere = Bench(), Bench(piecewise=1, moving=True)
    result = here.run(program)
    assert (result.vector, result.registers["RFLAGS"] & 0x8D5) == (GP, 0x4)
    assert elsewhere.run(program) == result


CALL = b"\xe8\0\0\0\0"


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize("asked", ["address", "calls"])
def test_an_observer_stops_before_an_instruction_that_leaves_its_segment(asked: str, portable: bool) -> None:
    """A CALL whose stack segment has no room, which raises #SS before the processor begins it."""
    code = load("ds", layout.SMALL_DATA).replace(LOADS["ds"], b"\x8e\xd0") + CALL  # mov ss, eax
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER}
    program = Program(code, Mode.PROTECTED, registers=tuple(values.values()))
    assert bench(portable).run(program).vector == SS
    bench(portable).run(replace(program, limit=2), floating_point=False)
    machine, call = bench(portable).machine, layout.CODE + len(code) - len(CALL)
    if asked == "address":
        machine.stop_at([call])
    else:
        machine.stop_at(calls_above=layout.STACK_POINTER - 1)
    try:
        outcome = machine.run(machine.clock.now_ns + 50)
    finally:
        machine.stop_at()
    assert (outcome, machine.cpu.rip) == (Outcome.STOPPED, call)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("prefix", [b"\x2e", b"\x64\x2e", b"\x2e\x66", b"\x2e\x3e"])
def test_of_several_prefixes_the_last_one_decides_whether_the_code_segment_is_written(
    prefix: bytes, portable: bool
) -> None:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RSI": layout.DATA}
    program = Program(prefix + b"\x89\x06", Mode.COMPATIBILITY, registers=tuple(values.values()))
    refused = bench(portable).run(program, floating_point=False).vector == GP
    assert refused is (prefix != b"\x2e\x3e")


def test_code_that_is_execute_only_cannot_be_read() -> None:
    """JMP to the flat segment, and MOV EAX, CS:[ESI] there."""
    at = (layout.CODE + 7).to_bytes(4, "little") + layout.EXECUTE_ONLY_CODE.to_bytes(2, "little")
    result = run(b"\xea" + at + b"\x2e\x8b\x06", Mode.PROTECTED)
    assert (result.vector, result.error_code, result.registers["RIP"]) == (GP, 0, layout.CODE + 7)


@pytest.mark.parametrize("mode", MODES)
def test_branch_hints_and_padding_with_a_cs_prefix_are_not_looked_at(mode: Mode) -> None:
    """JNZ that is predicted as not taken, LEA and the NOP of compilers."""
    made = Bench()
    entered = count_calls(made.machine.cpu.engine, "execute")
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": 1000}
    code = b"\x2e\x0f\x1f\0\x2e\x8d\x06\x49\x2e\x75\xf6"
    assert made.run(Program(code, mode, registers=tuple(values.values()), limit=5000)).retired > 3000
    assert len(entered) < 100
