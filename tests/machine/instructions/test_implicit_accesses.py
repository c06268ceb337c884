"""Instructions that access memory other than by a plain operand, against every kind of page.

Each row is an instruction with one block of memory that it reads or writes. The model below gives the manual's result
for that block: the page fault with its error code and address, or #GP and #SS for a non-canonical address (SDM volume
3, 4.6, 4.7, 6.15). A refused instruction must have changed nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

import pytest

from machine.architecture.control_registers import CR4_SMAP, CR4_SMEP
from machine.architecture.exceptions import BP, GP, PF, SS
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR4_DEFAULT, FX_AT_RESET, GENERAL, Mode, Program, Result
from tests.sampling import sampled

FLAG_AC = 1 << 18
LONG, COMPATIBILITY, PROTECTED = Mode.LONG, Mode.COMPATIBILITY, Mode.PROTECTED
EVERY = (LONG, COMPATIBILITY, PROTECTED)
NARROW = (COMPATIBILITY, PROTECTED)


ALL_ONES = FX_AT_RESET[:32] + b"\xff" * (512 - 32)
"""The registers of x87 and SSE: a mask that selects every byte."""


@dataclass(frozen=True)
class Row:
    """An instruction. The register `pointer` is set to the block's address and `bias` more."""

    code: str
    pointer: str
    size: int
    writes: bool
    bias: int = 0
    """From the block's address to the register's value, such as the size of pushed data."""
    first: int = 0
    """Offset in the block of the first access, and so of a fault that concerns all of it."""
    alignment: int = 1
    modes: tuple[Mode, ...] = (LONG,)
    rings: tuple[int, ...] = (0, 3)

    @property
    def on_stack(self) -> bool:
        """Its segment is SS."""
        return self.pointer in ("RSP", "RBP")


def push(code: str, size: int, modes: tuple[Mode, ...], first: int | None = None) -> Row:
    return Row(code, "RSP", size, True, bias=size, first=0 if first is None else first, modes=modes)


def pop(code: str, size: int, modes: tuple[Mode, ...], rings: tuple[int, ...] = (0, 3)) -> Row:
    return Row(code, "RSP", size, False, modes=modes, rings=rings)


ROWS = {
    "PUSH r64": push("50", 8, (LONG,)),
    "PUSH r32": push("50", 4, NARROW),
    "PUSH imm8": push("6A 01", 8, (LONG,)),
    "PUSH FS": push("0F A0", 8, (LONG,)),
    "PUSHFQ": push("9C", 8, (LONG,)),
    "CALL rel32": push("E8 00 00 00 00", 8, (LONG,)),
    "CALL r32": push("FF D0", 4, NARROW),
    "ENTER": push("C8 00 00 00", 8, (LONG,)),
    "ENTER, 32 bits": push("C8 00 00 00", 4, NARROW),
    "PUSHAD": push("60", 32, NARROW, first=28),
    "PUSHA": push("66 60", 16, NARROW, first=14),
    "POP r64": pop("58", 8, (LONG,)),
    "POP FS": pop("0F A1", 2, (LONG,)),
    "POPFQ": pop("9D", 8, (LONG,)),
    "POPAD": pop("61", 32, NARROW),
    "RET": pop("C3", 8, (LONG,)),
    "RETFQ": pop("48 CB", 16, (LONG,)),
    "RETF": pop("CB", 8, NARROW),
    "IRETQ": pop("48 CF", 40, (LONG,)),
    "LEAVE": Row("C9", "RBP", 8, False),
    "POP m": Row("8F 03", "RBX", 8, True),
    "CALL m": Row("FF 13", "RBX", 8, False),
    "CALL m16:32": Row("FF 1B", "RBX", 6, False, modes=EVERY),
    "CALL m16:64": Row("48 FF 1B", "RBX", 10, False),
    "JMP m16:32": Row("FF 2B", "RBX", 6, False, modes=EVERY),
    "MOVSQ to": Row("48 A5", "RDI", 8, True),
    "MOVSB from": Row("A4", "RSI", 1, False, modes=EVERY),
    "STOSD": Row("AB", "RDI", 4, True, modes=EVERY),
    "REP STOSW": Row("66 F3 AB", "RDI", 2, True, modes=EVERY),
    "LODSQ": Row("48 AD", "RSI", 8, False),
    "SCASD": Row("AF", "RDI", 4, False, modes=EVERY),
    "REPNE SCASB": Row("F2 AE", "RDI", 1, False, modes=EVERY),
    "CMPSD, first": Row("A7", "RSI", 4, False, modes=EVERY),
    "XLAT": Row("D7", "RBX", 1, False, modes=EVERY),
    "BOUND": Row("62 03", "RBX", 8, False, modes=NARROW),
    "MASKMOVQ": Row("0F F7 C8", "RDI", 8, True, modes=EVERY),
    "MASKMOVDQU": Row("66 0F F7 C8", "RDI", 16, True, modes=EVERY),
    "MOVDQU load": Row("F3 0F 6F 03", "RBX", 16, False, modes=EVERY),
    "MOVDQU store": Row("F3 0F 7F 03", "RBX", 16, True, modes=EVERY),
    "MOVAPS store": Row("0F 29 03", "RBX", 16, True, alignment=16, modes=EVERY),
    "MOVNTDQ": Row("66 0F E7 03", "RBX", 16, True, alignment=16, modes=EVERY),
    "PADDB": Row("66 0F FC 03", "RBX", 16, False, alignment=16, modes=EVERY),
    "FXSAVE": Row("0F AE 03", "RBX", 512, True, alignment=16, modes=EVERY),
    "FXRSTOR": Row("0F AE 0B", "RBX", 512, False, alignment=16, modes=EVERY),
    "FNSAVE": Row("DD 33", "RBX", 108, True, modes=EVERY),
    "FRSTOR": Row("DD 23", "RBX", 108, False, modes=EVERY),
    "FNSTENV": Row("D9 33", "RBX", 28, True, modes=EVERY),
    "FLDENV": Row("D9 23", "RBX", 28, False, modes=EVERY),
    "FNSTCW": Row("D9 3B", "RBX", 2, True, modes=EVERY),
    "FNSTSW": Row("DD 3B", "RBX", 2, True, modes=EVERY),
    "FSTP m80": Row("DB 3B", "RBX", 10, True, modes=EVERY),
    "FBSTP": Row("DF 33", "RBX", 10, True, modes=EVERY),
    "FLD m80": Row("DB 2B", "RBX", 10, False, modes=EVERY),
    "STMXCSR": Row("0F AE 1B", "RBX", 4, True, modes=EVERY),
    "LDMXCSR": Row("0F AE 13", "RBX", 4, False, modes=EVERY),
    "CLFLUSH": Row("0F AE 3B", "RBX", 1, False, modes=EVERY),
    "CMPXCHG8B": Row("0F C7 0B", "RBX", 8, True, modes=EVERY),
    "CMPXCHG16B": Row("48 0F C7 0B", "RBX", 16, True, alignment=16),
    "LOCK XADD": Row("F0 0F C1 03", "RBX", 4, True, modes=EVERY),
    "MOV Sreg, m16": Row("8E 03", "RBX", 2, False, modes=EVERY),
    "LSS": Row("0F B2 03", "RBX", 6, False, modes=EVERY),
    "LES": Row("C4 03", "RBX", 6, False, modes=NARROW),
    "LAR": Row("0F 02 03", "RBX", 2, False, modes=EVERY),
    "VERW": Row("0F 00 2B", "RBX", 2, False, modes=EVERY),
    "SGDT": Row("0F 01 03", "RBX", 10, True),
    "SIDT": Row("0F 01 0B", "RBX", 6, True, modes=NARROW),
    "SLDT": Row("0F 00 03", "RBX", 2, True, modes=EVERY),
    "LGDT": Row("0F 01 13", "RBX", 10, False, rings=(0,)),
    "LIDT": Row("0F 01 1B", "RBX", 6, False, modes=(COMPATIBILITY, PROTECTED), rings=(0,)),
    "LTR": Row("0F 00 1B", "RBX", 2, False, modes=EVERY, rings=(0,)),
    "LLDT": Row("0F 00 13", "RBX", 2, False, modes=EVERY, rings=(0,)),
    "INVLPG": Row("0F 01 3B", "RBX", 0, False, modes=EVERY, rings=(0,)),
    "PREFETCHT0": Row("0F 18 0B", "RBX", 0, False, modes=EVERY),
    "NOP m": Row("0F 1F 03", "RBX", 0, False, modes=EVERY),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """The place of the block, given its size: all of it in one kind of page, or its last byte in the next page."""

    address: Callable[[Row], int]
    user: bool
    writable: bool
    present: bool = True
    torn: bool = False
    """It begins in a writable user page; the other fields describe the rest."""
    modes: tuple[Mode, ...] = EVERY


def inside(page: int) -> Callable[[Row], int]:
    return lambda _row: page + 0x100


def across(page: int) -> Callable[[Row], int]:
    return lambda row: page - max(row.alignment, row.size // 2 & -row.alignment)


NOWHERE = layout.NON_CANONICAL
PLACES = {
    "user": Place(inside(layout.DATA), True, True),
    "user read-only": Place(inside(layout.USER_READ_ONLY), True, False),
    "supervisor": Place(inside(layout.SUPERVISOR), False, True),
    "supervisor read-only": Place(inside(layout.SUPERVISOR_READ_ONLY), False, False),
    "absent": Place(inside(layout.ABSENT), False, False, present=False),
    "device": Place(inside(layout.DEVICE), True, True),
    "user, then supervisor": Place(across(layout.TORN + 0x1000), False, True, torn=True),
    "user, then absent": Place(across(layout.DATA + 0x2000), False, False, present=False, torn=True),
    "above 4 GiB": Place(inside(layout.TOP_OF_4_GIB + 0x1000), False, False, present=False, modes=(LONG,)),
    "not canonical": Place(inside(NOWHERE), False, False, modes=(LONG,)),
    "into what is not canonical": Place(across(NOWHERE), False, False, torn=True, modes=(LONG,)),
}
PROTECTIONS = {"": 0, "SMAP": CR4_SMAP, "SMEP": CR4_SMEP, "SMAP, SMEP": CR4_SMAP | CR4_SMEP}


def expected(row: Row, place: Place, address: int, ring: int, cr4: int, flags: int) -> tuple[int, int, int] | None:
    """Vector, error code and CR2; None without a fault."""
    if not row.size:
        return None
    smap = ring == 0 and bool(cr4 & CR4_SMAP) and not flags & FLAG_AC
    code = (2 if row.writes else 0) | (4 if ring == 3 else 0)
    if place.torn and row.size <= row.alignment:  # it does not reach the second page
        return (PF, code | 1, address) if smap else None
    if address + row.size > NOWHERE:
        return (SS if row.on_stack else GP), 0, 0
    second = (address | 0xFFF) + 1
    met = max(address + row.first, second) if place.torn else address + row.first
    if smap and place.torn and address + row.first < second:
        return PF, code | 1, address + row.first
    if not place.present:
        return PF, code, met
    if ring == 3:
        refused = not place.user or (row.writes and not place.writable)
    else:
        refused = (row.writes and not place.writable) or (smap and place.user)
    if smap and place.torn:  # pushed downwards, from the page of the supervisor into that of the user
        return PF, code | 1, second - (4 if row.first == 28 else 2)
    return (PF, code | 1, met) if refused else None


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def cases(name: str) -> Iterator[tuple[str, Mode, int]]:
    row = ROWS[name]
    for place_name, place in PLACES.items():
        for mode in row.modes:
            if mode in place.modes:
                yield from ((place_name, mode, ring) for ring in row.rings)


def start(row: Row, address: int, mode: Mode, ring: int, cr4: int, flags: int) -> Program:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RSI": layout.STACK, "RDI": layout.STACK}
    values |= {"RCX": 1, row.pointer: address + row.bias}
    code = bytes.fromhex(row.code)
    return Program(code, mode, ring, tuple(values.values()), rflags=0x202 | flags, cr4=cr4, fx=ALL_ONES)


def check(row: Row, result: Result, program: Program, wanted: tuple[int, int, int] | None) -> None:
    if wanted is None:
        assert result.retired or result.vector != PF, (hex(result.registers["CR2"]), result.error_code)
        return
    vector, error_code, cr2 = wanted
    assert (result.vector, result.error_code) == (vector, error_code)
    if vector == PF:
        assert hex(result.registers["CR2"]) == hex(cr2)
    mask = 2**64 - 1 if program.mode is LONG else 2**32 - 1
    count = 16 if program.mode is LONG else 8
    kept = {name: value & mask for name, value in zip(GENERAL[:count], program.registers, strict=False)}
    changed = result.memory
    if program.mode is PROTECTED and program.ring == 0:  # the frame of the fault lies on its own stack
        del kept["RSP"]
        changed = tuple(change for change in changed if change.page != "stack")
    assert {name: result.registers[name] for name in kept} == kept
    assert (changed, result.device, result.retired) == ((), (), 0)
    assert result.registers["RIP"] == layout.CODE


def refused_as_the_manual_says(name: str, place_name: str, mode: Mode, ring: int) -> None:
    row, place = ROWS[name], PLACES[place_name]
    address = place.address(row)
    if mode is PROTECTED and ring == 0 and row.on_stack:
        return  # there is no other stack for the frame of the fault
    for cr4 in PROTECTIONS.values():
        for flags in (0, FLAG_AC) if cr4 & CR4_SMAP and ring == 0 else (0,):
            if place_name == "into what is not canonical" and cr4 & CR4_SMAP and ring == 0 and not flags:
                continue  # two reasons for a fault, which the manual does not order
            program = start(row, address, mode, ring, CR4_DEFAULT | cr4, flags)
            native, portable = bench(False).run(program), bench(True).run(program)
            assert native == portable
            check(row, native, program, expected(row, place, address, ring, cr4, flags))


_SAMPLE = 11


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_sample_of_accesses_is_refused_as_the_manual_says(name: str) -> None:
    """A different one for each instruction, so that together they cover every place, mode and ring."""
    for place_name, mode, ring in islice(cases(name), list(ROWS).index(name) % _SAMPLE, None, _SAMPLE):
        refused_as_the_manual_says(name, place_name, mode, ring)


@pytest.mark.long
@pytest.mark.parametrize("name", ROWS)
def test_every_access_is_refused_as_the_manual_says(name: str) -> None:
    for place_name, mode, ring in cases(name):
        refused_as_the_manual_says(name, place_name, mode, ring)


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize("smep", [False, True])
def test_the_supervisor_executes_pages_of_the_user_without_smep_only(mode: Mode, smep: bool) -> None:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RBX": layout.USER_READ_ONLY}
    program = Program(b"\xff\xe3", mode, 0, tuple(values.values()), cr4=CR4_DEFAULT | (CR4_SMEP if smep else 0))
    result = bench(False).run(program)
    assert result.registers["CPL"] == 0
    assert (result.vector, result.error_code) == ((PF, 0x11) if smep else (None, None))


IMPLICIT_ADDRESSES = {
    "MASKMOVQ": ("0F F7 C8", "RDI", 2),
    "MASKMOVDQU": ("66 0F F7 C8", "RDI", 2),
    "STOSB": ("AA", "RDI", 2),
    "SCASB": ("AE", "RDI", 0),
    "LODSB": ("AC", "RSI", 0),
    "MOVSB": ("A4", "RSI", 0),
    "XLAT": ("D7", "RBX", 0),
}
"""The code, the register with the address, and bit 1 of a page fault's error code, which is set for a write."""


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("name", IMPLICIT_ADDRESSES)
def test_the_address_size_counts_where_the_address_is_implicit(name: str, mode: Mode, portable: bool) -> None:
    """The address lies in a page that is not there."""
    code, pointer, writes = IMPLICIT_ADDRESSES[name]
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, pointer: 0x1_0003_8010}
    program = Program(b"\x67" + bytes.fromhex(code), mode, registers=tuple(values.values()), fx=ALL_ONES)
    result = bench(portable).run(program)
    address = 0x3_8010 if mode is LONG else 0x8010
    assert (result.vector, result.error_code, result.registers["CR2"]) == (PF, 4 | writes, address)


OVERRIDABLE = {
    "MOV load": ("8A 03", "RBX", 0),
    "MOV store": ("88 03", "RBX", 2),
    "LODSB": ("AC", "RSI", 0),
    "XLAT": ("D7", "RBX", 0),
    "MOVUPS": ("0F 10 03", "RBX", 0),
    "FLD": ("D9 03", "RBX", 0),
    "MASKMOVQ": ("0F F7 C8", "RDI", 2),
}


@pytest.mark.parametrize("prefix", ["26", "2E", "36", "3E"])
@pytest.mark.parametrize("name", OVERRIDABLE)
def test_in_64_bit_mode_segments_that_are_named_have_no_base(name: str, prefix: str) -> None:
    """DS and ES have one, which only other modes use (SDM volume 3, 3.2.4)."""
    code, pointer, writes = OVERRIDABLE[name]
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, pointer: 0x10}
    program = Program(
        bytes.fromhex(prefix + code), registers=tuple(values.values()), selector=layout.SMALL_DATA, fx=ALL_ONES
    )
    result = bench(False).run(program)
    assert (result.vector, result.error_code, result.registers["CR2"]) == (PF, 4 | writes, 0x10)


@pytest.mark.parametrize("portable", sampled([False, True], False))
def test_a_base_comes_back_with_compatibility_mode(portable: bool) -> None:
    """MOV CL, DS:[DATA + 10H] in 64-bit code; far RET to 32-bit code; MOV CH, [EBX]."""
    load = b"\x3e\x8a\x0c\x25" + (layout.DATA + 0x10).to_bytes(4, "little")
    leave = b"\x6a" + bytes([layout.USER_CODE_32]) + b"\x68" + (layout.CODE + 17).to_bytes(4, "little") + b"\x48\xcb"
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RBX": 0x10}
    program = Program(
        load + leave + b"\x8a\x2b",
        registers=tuple(values.values()),
        selector=layout.SMALL_DATA,
        data=bytes(0x10) + b"\x5a",
    )
    result = bench(portable).run(program)
    assert (result.vector, result.registers["RCX"]) == (None, 0x5A5A)


@pytest.mark.parametrize("prefixes", ["64", "3E 64", "65 64", "64 26", "64 2E", "64 36", "64 3E", "65 3E 64 2E 48"])
@pytest.mark.parametrize("name", OVERRIDABLE)
def test_64_bit_mode_ignores_a_prefix_for_another_segment_after_fs(name: str, prefixes: str) -> None:
    """Unicorn would take the segment of the last prefix."""
    code, pointer, writes = OVERRIDABLE[name]
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, pointer: 0x10}
    program = Program(
        bytes.fromhex(prefixes + code), registers=tuple(values.values()), fs_base=layout.ABSENT, fx=ALL_ONES
    )
    for portable in (False, True):
        result = bench(portable).run(program)
        registers = result.registers
        assert (result.vector, result.error_code, registers["CR2"]) == (PF, 4 | writes, layout.ABSENT + 0x10)
        assert (registers["RIP"], registers["FS_BASE"]) == (layout.CODE, layout.ABSENT)


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize("prefixes", ["64 26", "64 2E", "64 36", "64 3E", "65 64 2E"])
@pytest.mark.parametrize(
    "code", ["8B 05 F8 00 00 00", "FF 36 58", "48 63 C3", "EB 02 CC CC", "A5", "F3 A4", "FF 16", "E8 00 00 00 00", "CC"]
)
def test_it_is_executed_as_with_fs_alone(code: str, prefixes: str, portable: bool) -> None:
    """MOV from [RIP + F8H], PUSH, MOVSXD, JMP, MOVSD, REP MOVSB, CALL [RSI], CALL and INT3."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RSI": 0x100, "RBX": 0x100, "RCX": 3}
    values |= {"RDI": layout.DATA + 0x200}
    ended = []
    for one in (prefixes, "64 " * len(prefixes.split())):
        text = bytes.fromhex(one + code)
        following = layout.CODE + len(text)
        base = layout.DATA - following if code.startswith("8B") else layout.DATA
        data = bytes(0xF8) + (following + 0x5A).to_bytes(8, "little") * 2
        program = Program(text, registers=tuple(values.values()), fs_base=base, data=data)
        ended.append(bench(portable).run(program))
    assert ended[0] == ended[1]
    assert ended[0].vector in (None, BP)
