"""Allowed values of CR0, CR3 and CR4 (SDM volume 3, 2.5 and 4.1.1), and the pointers of PAE paging (4.4.1)."""

import struct
from collections.abc import Callable

import pytest

from machine.architecture.control_registers import check_cr0, check_cr3, check_cr4
from machine.architecture.cpuid import cpuid
from machine.architecture.exceptions import GP, Fault
from machine.architecture.paging import SupervisorMemory
from machine.architecture.processor_state import ProcessorState
from tests.machine.instructions.processor import CODE_32, CODE_64, Mode, Processor

PE, TS, NW, CD, PG = 1, 1 << 3, 1 << 29, 1 << 30, 1 << 31
PSE, PAE, PGE, SMEP, LME = 1 << 4, 1 << 5, 1 << 7, 1 << 20, 1 << 8
POINTERS = 0x9000
OFFERED_IN_CR4 = (2, 3, 4, 5, 7, 8, 9, 10, 11, 16, 20, 21)
"""TSD, DE, PSE, PAE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, SMEP, SMAP."""


def processor(mode: Mode = Mode.PROTECTED, *, cr0: int = PE, cr4: int = 0, efer: int = 0) -> Processor:
    """One without paging, but that IA-32e mode has it."""
    made = Processor(mode)
    if not mode.long:
        registers = made.cpu.registers
        registers.cr[0], registers.cr[3], registers.cr[4], registers.efer = cr0, POINTERS, cr4, efer
    return made


def allowed(made: Processor, check: Callable[[ProcessorState, SupervisorMemory, int], None], value: int) -> bool:
    try:
        check(made.cpu.registers, made.cpu.memory, value)
    except Fault as fault:
        return not _is_gp(fault)
    return True


def _is_gp(fault: Fault) -> bool:
    assert (fault.vector, fault.error_code) == (GP, 0)
    return True


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (PE, True),
        (0, True),
        (PE | PG, True),
        (PG, False),
        (PE | CD, True),
        (PE | CD | NW, True),
        (PE | NW, False),
        (PE | 1 << 32, False),
        (PE | 1 << 63, False),
    ],
)
def test_combinations_in_cr0(value: int, right: bool) -> None:
    assert allowed(processor(), check_cr0, value) == right


@pytest.mark.parametrize("pae", [0, PAE])
@pytest.mark.parametrize("code", [CODE_32, CODE_64])
def test_ia_32e_mode_begins_with_pae_and_in_code_that_is_not_of_64_bits(code: int, pae: int) -> None:
    made = processor(cr4=pae, efer=LME)
    made.load("cs", code)
    assert allowed(made, check_cr0, PE | PG) == (pae != 0 and code == CODE_32)


def test_paging_is_not_turned_off_in_64_bit_code() -> None:
    for mode in Mode:
        assert allowed(processor(mode), check_cr0, PE) == (mode is not Mode.LONG)


@pytest.mark.parametrize("mode", Mode)
def test_cr3_is_an_address_that_the_processor_has(mode: Mode) -> None:
    for value, right in (((1 << 40) - 1, True), (1 << 40, False), (1 << 63, False)):
        assert allowed(processor(mode), check_cr3, value) == right


@pytest.mark.parametrize("bit", range(64))
def test_bits_of_cr4_that_are_not_there_stay_clear(bit: int) -> None:
    right = bit in OFFERED_IN_CR4
    assert allowed(processor(), check_cr4, 1 << bit) == right
    assert allowed(processor(Mode.LONG), check_cr4, PAE | 1 << bit) == right


FEATURES = {
    **{0: (1, 3, 1), 1: (1, 3, 1), 2: (1, 3, 4), 3: (1, 3, 2), 4: (1, 3, 3), 5: (1, 3, 6), 6: (1, 3, 7), 7: (1, 3, 13)},
    **{9: (1, 3, 24), 10: (1, 3, 25), 11: (7, 2, 2), 12: (7, 2, 16), 13: (1, 2, 5), 14: (1, 2, 6), 16: (7, 1, 0)},
    **{17: (1, 2, 17), 18: (1, 2, 26), 20: (7, 1, 7), 21: (7, 1, 20), 22: (7, 2, 3), 23: (7, 2, 7), 24: (7, 2, 31)},
}
"""Bits of CR4, each with the leaf, register (EAX is 0) and bit of the CPUID feature that it enables."""


@pytest.mark.parametrize("bit", FEATURES)
def test_a_bit_of_cr4_is_there_exactly_if_cpuid_offers_what_it_turns_on(bit: int) -> None:
    leaf, register, offered = FEATURES[bit]
    assert bool(cpuid(leaf)[register] >> offered & 1) == (bit in OFFERED_IN_CR4)


@pytest.mark.parametrize("mode", Mode)
def test_pae_stays_set_in_ia_32e_mode(mode: Mode) -> None:
    assert allowed(processor(mode), check_cr4, 0x600) == (not mode.long)
    assert allowed(processor(mode), check_cr4, 0x600 | PAE)


RESERVED = [*(1 << bit for bit in (1, 2, 5, 6, 7, 8)), 1 << 40, 1 << 51, 1 << 63]


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("wrong", RESERVED)
def test_a_present_pointer_with_a_reserved_bit_is_refused_when_pae_paging_begins_or_cr3_is_loaded(
    wrong: int, index: int
) -> None:
    for present in (0, 1):
        pointers = [0x1001, 0x1019, 0x1000 + 0xE00, 0]  # PWT, PCD and the ignored bits may be set
        pointers[index] = wrong | present
        right = not present
        beginnings: list[tuple[Processor, Callable[[ProcessorState, SupervisorMemory, int], None], int]] = [
            (processor(cr4=PAE), check_cr0, PE | PG),
            (processor(cr0=PE | PG, cr4=PAE), check_cr0, PE | PG | CD),
            (processor(cr0=PE | PG), check_cr4, PAE),
            *((processor(cr0=PE | PG, cr4=PAE), check_cr4, PAE | bit) for bit in (PSE, PGE, SMEP)),
            (processor(cr0=PE | PG, cr4=PAE), check_cr3, POINTERS | 0x18),
        ]
        for made, check, value in beginnings:
            made.ram.write(POINTERS, struct.pack("<4Q", *pointers))
            assert allowed(made, check, value) == right


def test_no_pointers_are_looked_at_where_nothing_begins() -> None:
    everywhere: list[tuple[Processor, Callable[[ProcessorState, SupervisorMemory, int], None], int]] = [
        (processor(), check_cr0, PE | PG),
        (processor(cr0=PE | PG, cr4=PAE), check_cr0, PE | PG | TS),
        (processor(cr0=PE | PG), check_cr0, PE | PG | CD),
        (processor(cr4=PAE, efer=LME), check_cr0, PE | PG),
        (processor(), check_cr4, PAE),
        (processor(cr0=PE | PG, cr4=PAE), check_cr4, PAE | 0x600),
        (processor(cr4=PAE), check_cr3, POINTERS),
        (processor(cr0=PE | PG), check_cr3, POINTERS),
    ]
    for made, check, value in everywhere:
        made.ram.write(POINTERS, struct.pack("<4Q", *[2**64 - 1] * 4))
        assert allowed(made, check, value)
    long = processor(Mode.LONG)
    long.ram.write(POINTERS, struct.pack("<4Q", *[2**64 - 1] * 4))
    assert allowed(long, check_cr3, POINTERS)
