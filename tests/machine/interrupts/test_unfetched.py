"""An instruction that continues in a page without code raises a page fault, whatever else it would raise."""

from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from machine.architecture.control_registers import CR0_EM, CR0_TS
from machine.architecture.decoding import decode
from machine.architecture.exceptions import PF
from machine.architecture.instruction_set import ROWS, Map
from machine.bus.ram import PAGE_SIZE
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR0_DEFAULT, GENERAL, Program

BEYOND = layout.TOP_OF_4_GIB + PAGE_SIZE
"""An absent page."""
COPY_AND_JUMP = bytes.fromhex("f3a4 ffe2")
ESCAPES = {Map.ONE_BYTE: "", Map.TWO_BYTE: "0f", Map.THREE_BYTE_38: "0f38", Map.THREE_BYTE_3A: "0f3a"}
MANDATORY = ("", "66", "f3", "f2")
FETCH, USER = 16, 4


@cache
def beginnings() -> list[bytes]:
    """Return every beginning of an instruction of each row, without its last byte at least."""
    found = set()
    for row in ROWS:
        if row.map not in ESCAPES or "i32" in row.traits:
            continue
        for extension in row.extensions[:1] + row.extensions[-1:]:
            for form in {"-": [""], "m": ["81"], "r": ["c1"], "rm": ["81", "c1"]}[row.modrm]:
                modrm = f"{int(form, 16) | extension << 3:02x}" if form else ""
                code = bytes.fromhex(f"{MANDATORY[row.prefixes[-1]]}{ESCAPES[row.map]}{row.opcodes[0]:02x}{modrm}")
                whole = decode(code + bytes(12))
                assert whole is not None
                code = (code + bytes(12))[: whole.length]
                found |= {code[:length] for length in range(1, len(code))}
    return sorted(each for each in found if decode(each) is None)


@cache
def bench(kind: str) -> Bench:
    return Bench(**{kind: True} if kind else {})


def at_the_end(code: bytes, *, ring: int, cr0: int) -> Program:
    """Return a program that copies code to the end of the last page below 4 GiB, and jumps there."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": len(code), "RSI": layout.DATA}
    values |= dict.fromkeys(("RDI", "RDX"), BEYOND - len(code))
    return Program(COPY_AND_JUMP, ring=ring, registers=tuple(values.values()), data=code, cr0=cr0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ring", "cr0", "kind"),
    [
        pytest.param(ring, cr0, kind, marks=[pytest.mark.slow, pytest.mark.long] if cr0 and kind else [])
        for ring in (0, 3)
        for cr0 in (0, CR0_TS, CR0_EM)
        for kind in ("", "portable", "by_block")
    ],
)
def test_what_cannot_be_fetched_whole_raises_a_page_fault(
    ring: int, cr0: int, kind: str, share: Callable[[int], int]
) -> None:
    wanted = PF, FETCH | (USER if ring else 0), BEYOND
    wrong = {}
    for code in Random(f"{ring} {cr0} {kind}").sample(beginnings(), share(len(beginnings()))):
        result = bench(kind).run(at_the_end(code, ring=ring, cr0=CR0_DEFAULT | cr0), floating_point=False)
        met = result.vector, result.error_code, result.registers["CR2"]
        if met != wanted or result.registers["RIP"] != BEYOND - len(code):
            wrong[code.hex()] = met
    assert not wrong
