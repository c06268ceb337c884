"""Every memory operand outside 64-bit mode: its segment is checked as its page is (SDM volume 3, 5.3 and 5.5).

A page fault says whether the operand is written, and how many bytes it has; the check of the segment must agree.
"""

from collections.abc import Iterator
from functools import cache

import pytest

from machine.architecture.exceptions import GP, PF
from machine.architecture.instruction_set import Map, Prefix
from machine.bus.ram import PAGE_SIZE
from tests.machine.instructions.every_form import Form, memory_forms
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, Mode, Program, Result

PORT = 0x80
WRITE = 2
SIZES = (1, 2, 4, 6, 8, 10, 14, 16, 28, 94, 108)
DATA_END = layout.DATA + 2 * PAGE_SIZE
ARPL, GROUP_5, GROUP_15, MOVS = 0x63, 0xFF, 0xAE, (0xA4, 0xA5)
LOADS_OF_SS = [(Map.ONE_BYTE, 0x8E, 2), (Map.TWO_BYTE, 0xB2, 0)]
"""MOV SS and LSS: no selector that fits is at hand."""


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def run(form: Form, at: int, selector: int | None = None, *, before: bytes = b"", portable: bool = False) -> Result:
    values = dict.fromkeys(GENERAL, at) | {"RSP": layout.STACK_POINTER, "RDX": PORT, "RAX": 0}
    code = before + form.code(at)
    program = Program(
        code, Mode.COMPATIBILITY, registers=tuple(values.values()), selector=selector, limit=20, peripherals=True
    )
    return bench(portable).run(program, floating_point=False)


def is_loaded(form: Form) -> bool:
    """Whether the operand is what a far transfer or a load of SS needs."""
    far = form.row.map is Map.ONE_BYTE and form.opcode == GROUP_5 and form.extension in (3, 5)
    return far or (form.row.map, form.opcode, form.extension) in LOADS_OF_SS


def is_arpl(form: Form) -> bool:
    return form.row.map is Map.ONE_BYTE and form.opcode == ARPL


def faults(result: Result, vector: int) -> bool:
    return result.vector == vector and result.registers["RIP"] == layout.CODE


@cache
def accessing() -> tuple[tuple[Form, bool], ...]:
    """All forms that access memory, and whether they write it."""

    def found() -> Iterator[tuple[Form, bool]]:
        for form in memory_forms():
            repeated = form.prefix in (Prefix.REPEAT, Prefix.REPEAT_NOT_EQUAL) and len(form.row.prefixes) == len(Prefix)
            if repeated and form.row.modrm != "-":  # these prefixes change nothing
                continue
            result = run(form, layout.ABSENT)
            if faults(result, PF):
                assert result.error_code is not None
                yield form, bool(result.error_code & WRITE) or form.opcode in MOVS  # which read another one first

    return tuple(found())


@pytest.mark.slow
def test_hundreds_of_forms_access_memory() -> None:
    assert len(accessing()) > 600
    assert sum(writes for _, writes in accessing()) > 150


@pytest.mark.slow
def test_no_operand_is_in_a_null_segment() -> None:
    for form, _ in accessing():
        assert faults(run(form, layout.DATA + 0x200, selector=0), GP), form.name


@pytest.mark.slow
def test_an_operand_is_refused_in_a_read_only_segment_if_it_is_written() -> None:
    """ARPL is refused whether it writes or not (SDM volume 2, ARPL)."""
    for form, writes in accessing():
        if not is_loaded(form):
            refused = faults(run(form, layout.DATA + 0x200, selector=layout.READ_ONLY_DATA), GP)
            assert refused is (writes or is_arpl(form)), form.name


@pytest.mark.slow
@pytest.mark.parametrize("portable", [False, True])
def test_an_operand_in_the_flat_code_segment_is_refused_if_it_is_written(portable: bool) -> None:
    """With flat segments, too, where nothing else needs a check."""
    for form, writes in accessing():
        to_es = writes and form.row.modrm == "-" and "off" not in form.row.traits  # MOVS, STOS, INS
        if is_loaded(form) or to_es or (portable and form.prefix):
            continue
        result = run(form, layout.DATA + 0x200, before=b"\x2e", portable=portable)
        assert faults(result, GP) is (writes or is_arpl(form)), form.name


@pytest.mark.slow
def test_the_limit_of_a_segment_and_the_end_of_a_page_are_met_by_the_same_number_of_bytes() -> None:
    for form, _ in accessing():
        images = form.row.map is Map.TWO_BYTE and form.opcode == GROUP_15 and form.extension < 2
        if is_loaded(form) or images or "a16" in form.row.traits:
            continue
        in_page = next(size for size in SIZES if not crosses(run(form, DATA_END - size)))
        in_segment = next(
            size for size in SIZES if not faults(run(form, PAGE_SIZE - size, selector=layout.SMALL_DATA), GP)
        )
        assert in_page == in_segment, form.name


def crosses(result: Result) -> bool:
    return faults(result, PF) and result.registers["CR2"] == DATA_END
