"""PAE paging keeps the page-directory pointers that it has loaded (SDM volume 3, 4.4.1), wherever they were loaded."""

import struct
from dataclasses import replace
from functools import cache

import pytest

from machine.architecture import control_registers as cr
from machine.architecture.exceptions import GP, PF
from machine.architecture.mapped_ranges import mapped_ranges
from machine.boot import loader
from machine.machine import Machine, MachineConfiguration
from tests.machine.assembler import Assembler
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR0_DEFAULT, End, Mode, Program, Result
from tests.machine.programs.tables import PDPT_PAE

WAYS = ("native", "portable", "moving")
"""The last one goes on from a snapshot, in another machine, after each instruction."""
PAGE, POINTER = layout.TOP_OF_4_GIB, PDPT_PAE + 24
"""A page, and the only pointer that leads to it."""
USE = b"\xa1" + struct.pack("<I", PAGE)  # MOV EAX, [PAGE]
INVALIDATE = b"\x0f\x01\x3d" + struct.pack("<I", PAGE)  # INVLPG
LOAD_CR3 = bytes.fromhex("0f20d8 0f22d8")


@cache
def bench(way: str) -> Bench:
    return Bench(portable=way == "portable", piecewise=int(way == "moving"), moving=way == "moving")


def store(address: int, value: int) -> bytes:
    """MOV to memory of a doubleword."""
    return b"\xc7\x05" + struct.pack("<II", address, value)


def set_pointer(value: int) -> bytes:
    """Write the lower half of the pointer by direct memory access: no program maps it."""
    return store(layout.DEVICE + layout.DMA_ADDRESS, POINTER) + store(layout.DEVICE + layout.DMA_WRITE, value)


def flip(register: int, bits: int) -> bytes:
    """Change bits of CR0 or CR4: MOV EAX, CR; XOR; MOV CR, EAX."""
    modrm = 0xC0 | register << 3
    return bytes([0x0F, 0x20, modrm, 0x35]) + struct.pack("<I", bits) + bytes([0x0F, 0x22, modrm])


def run(code: bytes, **fields: object) -> Result:
    program = Program(code, mode=Mode.PROTECTED, ring=0, peripherals=True)
    results = [bench(way).run(replace(program, **fields), floating_point=False) for way in WAYS]  # type: ignore[arg-type]
    assert results == [results[0]] * len(WAYS)
    return results[0]


LOADS = {
    "MOV CR3": LOAD_CR3,
    **{f"CR0 {bits:#x}": flip(0, bits) for bits in (cr.CR0_CD, cr.CR0_CD | cr.CR0_NW)},
    **{f"CR4 {bits:#x}": flip(4, bits) for bits in (cr.CR4_PGE, cr.CR4_PSE, cr.CR4_SMEP, cr.CR4_SMEP | cr.CR4_DE)},
}
KEEPS = {
    "nothing": b"",
    "INVLPG": INVALIDATE,
    "the same CR0": flip(0, 0),
    "the same CR4": flip(4, 0),
    "a task switch with the same CR3": b"\xcd" + bytes([layout.RETURNING_TASK_VECTOR]),
    **{f"CR0 {bits:#x}": flip(0, bits) for bits in (cr.CR0_TS, cr.CR0_MP, cr.CR0_AM, cr.CR0_WP)},
    **{f"CR4 {bits:#x}": flip(4, bits) for bits in (cr.CR4_TSD, cr.CR4_DE, cr.CR4_PCE, cr.CR4_OSFXSR)},
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_is_written_to_the_place_of_a_pointer_has_no_effect(name: str) -> None:
    ended = run(set_pointer(0) + KEEPS[name] + INVALIDATE + USE)
    assert (ended.end, ended.registers["CR3"]) == (End.DONE, PDPT_PAE)


@pytest.mark.parametrize("name", LOADS)
def test_until_it_is_loaded(name: str) -> None:
    ended = run(USE + set_pointer(0) + LOADS[name] + INVALIDATE + USE)
    assert (ended.vector, ended.error_code, ended.registers["CR2"]) == (PF, 0, PAGE)


@pytest.mark.parametrize("name", LOADS)
def test_reserved_bits_in_it_forbid_the_load_which_changes_nothing(name: str) -> None:
    ended = run(set_pointer(0x21) + LOADS[name])
    assert (ended.vector, ended.error_code, ended.registers["CR0"]) == (GP, 0, CR0_DEFAULT)
    handled = run(set_pointer(0x21) + USE)
    assert handled.end is End.DONE


@pytest.mark.parametrize("name", KEEPS)
def test_and_nothing_else(name: str) -> None:
    assert run(set_pointer(0x21) + KEEPS[name]).end is End.DONE


def test_cr3_reads_as_it_was_written() -> None:
    ended = run(bytes.fromhex("0f20d9 83c918 0f22d9 0f20db"))  # ECX: CR3 | PWT | PCD; EBX: CR3
    assert (ended.registers["RBX"], ended.registers["CR3"]) == (PDPT_PAE | 0x18, PDPT_PAE | 0x18)


FIRST, SECOND, POINTERS = 0x60_0000, 0x80_0000, 0x38_0000
TABLES = {
    POINTERS: struct.pack("<4Q", POINTERS + 0x1001, POINTERS + 0x2001, 0, 0),
    POINTERS + 0x1000: struct.pack("<4Q", 0x83, 0x20_0083, 0x40_0083, 0x60_0083),
    # two-level paging takes this for a table that maps 1 to 4 MiB
    POINTERS + 0x1400: struct.pack("<768I", *(page << 12 | 3 for page in range(0x100, 0x400))),
    POINTERS + 0x2000: struct.pack("<Q", FIRST | 0x83),
    POINTERS + 0x3000: struct.pack("<Q", SECOND | 0x83),
    FIRST: b"1st.",
    SECOND: b"2nd.",
}
PAE_ON = "movl $0x20, %eax; movl %eax, %cr4;"
BEGIN = f"movl ${POINTERS}, %eax; movl %eax, %cr3; {PAE_ON} movl $0x80000011, %eax; movl %eax, %cr0;"
LOOK = "movl 0x40000000, %{};"
CHANGE = f"movl ${POINTERS + 0x3001}, {POINTERS + 8}; invlpg 0x40000000;"
LEAVE = {
    "paging off": "movl $0x11, %eax; movl %eax, %cr0; movl %cr3, %edx; movl $0x80000011, %eax; movl %eax, %cr0;",
    # the accessed flag, which two-level paging sets, is reserved in a pointer
    "PAE off": f"xorl %eax, %eax; movl %eax, %cr4; movl %cr3, %edx; movl ${POINTERS + 0x1001}, {POINTERS}; {PAE_ON}",
}


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("way", LEAVE)
def test_they_are_loaded_when_pae_paging_begins_again(assembler: Assembler, way: str, portable: bool) -> None:
    body = BEGIN + LOOK.format("ebx") + CHANGE + LOOK.format("ecx") + LEAVE[way] + LOOK.format("esi") + "hlt"
    machine = Machine(MachineConfiguration(16 << 20, portable=portable))
    loader.load(machine, assembler.build("kernel32.S", body, RING=0, PAGING=0))
    for address, content in TABLES.items():
        machine.ram.write(address, content)
    machine.run(100_000)
    registers = machine.cpu.registers
    assert machine.halted
    assert [registers.rbx, registers.rcx, registers.rsi] == [
        int.from_bytes(text, "little") for text in (b"1st.", b"1st.", b"2nd.")
    ]
    assert registers.rdx == registers.cr3 == machine.cpu.read_register("CR3") == POINTERS
    machine.ram.write(POINTERS, bytes(32))
    found = mapped_ranges(machine.ram, registers)
    assert found is not None
    assert [one.start for one in found] == [0, 0x4000_0000]
