"""The bench itself: a program starts from the requested state, ends where it must, and leaves no traces."""

import struct
from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from machine.architecture.control_registers import CR0_TS, CR4_SMAP, CR4_SMEP, CR4_UMIP
from machine.architecture.exceptions import GP, NM, PF, SS, UD
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import (
    CR0_DEFAULT,
    CR4_DEFAULT,
    FX_AT_RESET,
    GENERAL,
    Access,
    Change,
    End,
    Mode,
    Program,
    Result,
)
from tests.oracle.random_programs.program import fx_fields

LONG, PROTECTED = Mode.LONG, Mode.PROTECTED
PLACES = tuple(product(Mode, (0, 3)))
CODE_SEGMENTS = (0x10, 0x33, 0x08, 0x23, 0x08, 0x23)
NOTHING = b""


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def run(program: Program) -> Result:
    """The result with the native hook, which the portable one must also give."""
    native, portable = bench(False).run(program), bench(True).run(program)
    assert native == portable
    return native


def at(address: int, code: bytes, **fields: object) -> Program:
    """A program with `address` in RBX."""
    registers = [layout.STACK_POINTER if name == "RSP" else 0 for name in GENERAL]
    registers[3] = address
    return Program(code, registers=tuple(registers), **fields)  # type: ignore[arg-type]


LOAD, STORE, JUMP = b"\x8b\x03", b"\x89\x03", b"\xff\xe3"


@pytest.mark.parametrize(("place", "selector"), tuple(zip(PLACES, CODE_SEGMENTS, strict=True)))
def test_a_program_starts_from_the_state_it_asks_for(place: tuple[Mode, int], selector: int) -> None:
    mode, ring = place
    values = tuple(0x0101_0101_0101_0101 * (number + 1) for number in range(16))
    wide = mode is LONG
    values = (*values[:4], layout.STACK_POINTER - 8, *values[5:])
    xmm = b"".join(bytes([16 * number + 3]) * 16 for number in range(16))
    x87 = b"".join(bytes([number + 1]) * 8 + b"\x34\x40" + bytes(6) for number in range(8))
    fx = struct.pack("<HHBxH8x8xII", 0x27F, 0x1800, 0xE7, 0, 0x1FA0, 0) + x87 + xmm
    program = Program(NOTHING, mode, ring, values, 0xAD7, fx.ljust(512, b"\0"), 0x12_3456, 0x7654_3210)
    result = run(program)
    found = result.registers
    assert (result.end, result.vector, result.error_code, result.retired) == (End.DONE, None, None, 1)
    wanted = values if wide else [value & 0xFFFF_FFFF for value in values[:8]]
    assert [found[name] for name in GENERAL[: len(wanted)]] == list(wanted)
    assert (found["RIP"], found["CS"], found["RFLAGS"]) == (layout.CODE + 2, selector, 0xAD7)
    assert (found["FS_BASE"], found["GS_BASE"]) == (0x12_3456, 0x7654_3210)
    assert (found["CR0"], found["CR4"]) == (CR0_DEFAULT, CR4_DEFAULT)
    names = [name for name in fx_fields(fx) if name not in ("FOP", "FIP", "FCS", "FDP", "FDS")]
    assert {name: found[name] for name in names} == {name: fx_fields(fx.ljust(512, b"\0"))[name] for name in names}
    assert result.memory == () or (mode, ring) == (PROTECTED, 0)


@pytest.mark.parametrize("place", PLACES)
def test_memory_that_changed_is_reported_by_page_and_offset(place: tuple[Mode, int]) -> None:
    program = at(layout.DATA + 0xFFE, b"\xc7\x03\x01\x02\x03\x04", mode=place[0], ring=place[1])
    wanted = Change("data", 0xFFE, b"\1\2"), Change("data", 0x1000, b"\3\4")
    assert [change for change in run(program).memory if change.page == "data"] == list(wanted)


@pytest.mark.parametrize("place", PLACES)
def test_pages_hold_what_the_program_says(place: tuple[Mode, int]) -> None:
    data = bytes(range(1, 251)) * 32
    program = replace(at(layout.DATA + 0x1000, LOAD, mode=place[0], ring=place[1]), data=data)
    assert run(program).registers["RAX"] == int.from_bytes(data[0x1000:0x1004], "little")
    stack = bytes(layout.STACK_POINTER - layout.STACK) + b"\x11\x22\x33\x44\x55\x66\x77\x08"
    wanted = 0x877_6655_4433_2211 if place[0] is LONG else 0x4433_2211
    assert run(Program(b"\x58", *place, stack=stack)).registers["RAX"] == wanted


@pytest.mark.parametrize(
    ("address", "user_load", "user_store", "kernel_store", "user_jump"),
    [
        (layout.DATA, None, None, None, 0x15),
        (layout.USER_READ_ONLY, None, 7, 3, None),
        (layout.SUPERVISOR, 5, 7, None, 0x15),
        (layout.SUPERVISOR_READ_ONLY, 5, 7, 3, 0x15),
        (layout.ABSENT, 4, 6, 2, 0x14),
        (layout.TOP_OF_4_GIB, None, None, None, None),
        (layout.KERNEL, 5, 7, None, 0x15),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_each_kind_of_page_allows_what_its_name_says(
    mode: Mode,
    address: int,
    user_load: int | None,
    user_store: int | None,
    kernel_store: int | None,
    user_jump: int | None,
) -> None:
    for ring, code, error_code in (
        (3, LOAD, user_load),
        (3, STORE, user_store),
        (0, STORE, kernel_store),
        (3, JUMP, user_jump),
    ):
        result = run(at(address, code, mode=mode, ring=ring))
        wanted = (None, None) if error_code is None else (PF, error_code)
        assert (result.vector, result.error_code) == wanted, (ring, code)
        if error_code is not None:
            assert result.registers["CR2"] == address


def test_the_end_of_the_address_space_and_beyond_it() -> None:
    assert run(at(layout.LAST_CANONICAL + 0xFFC, LOAD)).vector is None
    assert run(at(layout.LAST_CANONICAL + 0xFFD, LOAD)).vector == GP
    assert run(at(layout.NON_CANONICAL, LOAD)).vector == GP
    assert run(replace(Program(b"\x58"), registers=(*[0] * 4, layout.NON_CANONICAL, *[0] * 11))).vector == SS


@pytest.mark.parametrize("place", PLACES)
def test_accesses_to_the_device_are_listed(place: tuple[Mode, int]) -> None:
    result = run(at(layout.DEVICE + 0x24, LOAD + STORE, mode=place[0], ring=place[1]))
    assert result.device == (Access(0x24, 4, None), Access(0x24, 4, 0x2726_2524))
    assert run(at(layout.DATA, LOAD, mode=place[0], ring=place[1])).device == ()


def test_supervisor_mode_prevention_concerns_pages_of_the_user() -> None:
    for mode in Mode:
        smap, smep = CR4_DEFAULT | CR4_SMAP, CR4_DEFAULT | CR4_SMEP
        assert run(at(layout.DATA, LOAD, mode=mode, ring=0, cr4=smap)).error_code == 1
        assert run(at(layout.DATA, LOAD, mode=mode, ring=0, cr4=smap, rflags=0x4_0202)).vector is None
        assert run(at(layout.SUPERVISOR, LOAD, mode=mode, ring=0, cr4=smap)).vector is None
        assert run(at(layout.USER_READ_ONLY, JUMP, mode=mode, ring=0, cr4=smep)).error_code == 0x11
        assert run(at(layout.USER_READ_ONLY, JUMP, mode=mode, ring=0)).vector is None


def test_bits_of_control_registers_are_as_the_program_wants_them() -> None:
    store_task_register = b"\x0f\x00\xc8"
    assert run(Program(store_task_register, cr4=CR4_DEFAULT | CR4_UMIP)).vector == GP
    assert run(Program(store_task_register)).registers["RAX"] == layout.TASK
    switched = run(Program(b"\x0f\x57\xc0", cr0=CR0_DEFAULT | CR0_TS, fx=FX_AT_RESET[:160] + bytes([9]) * 352))
    assert (switched.vector, switched.registers["XMM0"] & 0xFF, switched.registers["CR0"] & CR0_TS) == (NM, 9, CR0_TS)
    with pytest.raises(ValueError, match="the processor does not start"):
        bench(False).run(Program(NOTHING, cr4=CR4_DEFAULT | 1 << 31))


@pytest.mark.parametrize("place", PLACES)
def test_ways_to_end(place: tuple[Mode, int]) -> None:
    ring = place[1]
    assert run(Program(b"\x0f\x0b", *place)).vector == UD
    taken = run(Program(b"\xcd\x21", *place))
    assert (taken.end, taken.vector, taken.error_code) == (End.TAKEN, *((GP, 0x10A) if ring else (0x21, None)))
    not_faulting = run(Program(b"\xcd\x0d", *place))
    assert (not_faulting.vector, not_faulting.error_code) == ((GP, 0x6A) if ring else (GP, None))
    assert not_faulting.registers["RIP"] == layout.CODE + (0 if ring else 2)
    assert run(Program(b"\xeb\xfe", *place)).end is End.LIMIT
    assert run(Program(b"\xeb\xfe", *place, limit=77)).retired == 77
    for flags in (2, 0x202):
        halted = run(Program(b"\xf4", *place, rflags=flags))
        assert (halted.end, halted.vector) == ((End.TAKEN, GP) if ring else (End.HALTED, None))
    assert run(Program(NOTHING, *place)).registers["RSP"] == layout.STACK_POINTER


@pytest.mark.parametrize("mode", Mode)
def test_a_jump_to_a_handler_is_not_an_interrupt(mode: Mode) -> None:
    jumped = run(at(layout.HANDLERS + 6 * layout.HANDLER_SIZE, JUMP, mode=mode, ring=0))
    assert (jumped.end, jumped.vector) == (End.HALTED, None)


def test_what_no_handler_can_take_is_a_shutdown() -> None:
    registers = (*[0] * 4, layout.ABSENT, *[0] * 11)
    assert run(Program(b"\x0f\x0b", PROTECTED, 0, registers)).end is End.SHUTDOWN
    assert run(Program(b"\x0f\x0b", LONG, 0, registers)).vector == UD
    assert run(Program(b"\x0f\x01\x1b\x0f\x0b", LONG, 0)).vector == PF  # LIDT of [RBX]
    lidt = at(layout.DATA, b"\x0f\x01\x1b\x0f\x0b", mode=LONG, ring=0)
    assert run(lidt).end is End.SHUTDOWN


@pytest.mark.parametrize("mode", Mode)
def test_a_call_gate_leads_into_ring_0(mode: Mode) -> None:
    pointer = struct.pack("<IH", 0, layout.USER_CALL_GATE)
    result = run(replace(at(layout.DATA, b"\xff\x1b", mode=mode), data=pointer))
    assert (result.vector, result.registers["CPL"]) == (layout.CALL_GATE_VECTOR, 0)
    assert result.registers["RIP"] == layout.CODE + 2
    assert (result.registers["CS"], result.registers["RSP"]) == (0x33 if mode is LONG else 0x23, layout.STACK_POINTER)


def test_a_task_gate_leads_into_the_second_task() -> None:
    pointer = struct.pack("<IH", 0, layout.TASK_GATE)
    result = run(replace(at(layout.DATA, b"\xff\x2b", mode=PROTECTED), data=pointer))
    assert (result.vector, result.registers["TR"]) == (layout.TASK_VECTOR, layout.AVAILABLE_TASK)
    assert {change.page for change in result.memory} == {"kernel"}


def test_a_program_leaves_nothing_to_the_next_one() -> None:
    """Whatever ran in between, in whatever mode: the result is the same, and the code is not stale."""
    programs = [
        *(Program(b"\xd9\xe8\x0f\x57\xc0\x50", *place) for place in PLACES),
        *(at(layout.CODE, b"\xc6\x43\x04\x90\xf4", mode=mode, ring=ring) for mode, ring in PLACES),
        *(Program(b"\xf4", *place) for place in PLACES),
        at(layout.DATA, b"\x0f\x01\x1b\x0f\x0b", ring=0),
        Program(b"\x0f\x20\xc0\x0f\xba\xe8\x03\x0f\x22\xc0\x9b\xdb\xe3", ring=0),
        Program(b"\x0f\x22\xd8", ring=0, limit=3),
        Program(b"\xb9\x02\x01\x00\xc0\x0f\x30", ring=0),
    ]
    once = [Bench().run(program) for program in programs]
    for order in (programs, programs[::-1]):
        again = [bench(False).run(program) for program in order]
        assert again == [once[programs.index(program)] for program in order]


def test_a_program_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="4097 bytes of code; there is room for 4096"):
        bench(False).run(Program(bytes(4095)))
    with pytest.raises(ValueError, match="8193 bytes of data; there is room for 8192"):
        bench(False).run(Program(NOTHING, data=bytes(8193)))


# Peripherals

_TASK_SWITCH = b"\xcd" + bytes([layout.RETURNING_TASK_VECTOR])


def stores(where: int, *contents: tuple[int, int], long: bool) -> bytes:
    """MOVs of 32 bits to registers of the device page: offset and value."""
    modrm = b"\x04\x25" if long else b"\x05"
    return b"".join(b"\xc7" + modrm + struct.pack("<II", where + offset, value) for offset, value in contents)


@pytest.mark.parametrize(("mode", "ring"), PLACES)
@pytest.mark.parametrize("peripherals", [False, True])
def test_a_device_writes_the_next_instruction(mode: Mode, ring: int, peripherals: bool) -> None:
    """MOV EAX, 1 becomes MOV EAX, 5A5A5A5AH."""
    accesses = (layout.DMA_ADDRESS, 0x30000), (layout.DMA_WRITE, 0x5A5A_5A5A)
    length = len(stores(layout.DEVICE, *accesses, long=mode is LONG))
    accesses = (layout.DMA_ADDRESS, 0x30000 + length + 1), accesses[1]
    code = stores(layout.DEVICE, *accesses, long=mode is LONG) + b"\xb8\1\0\0\0"
    result = run(Program(code, mode, ring, peripherals=peripherals))
    assert result.registers["RAX"] == (0x5A5A_5A5A if peripherals else 1)


@pytest.mark.parametrize("peripherals", [False, True])
def test_a_device_takes_a_page_away(peripherals: bool) -> None:
    """All page tables become zeros: the next access to a page not used before faults."""
    accesses = [(layout.DMA_ADDRESS, layout.TABLES), (layout.DMA_ZERO, 255)]
    code = stores(layout.DEVICE, *accesses, long=True) + b"\x8b\x04\x25" + struct.pack("<I", layout.DATA)
    result = run(Program(code, LONG, 0, peripherals=peripherals))
    assert (result.end is End.DONE) is not peripherals


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("peripherals", [False, True])
@pytest.mark.parametrize(("port", "narrow", "is_open"), [(0x80, "", True), (0x81, "", False), (0x42, "66", False)])
def test_ports_that_the_bitmap_opens(mode: Mode, port: int, narrow: str, is_open: bool, peripherals: bool) -> None:
    code = bytes.fromhex(narrow) + bytes([0xE5 if narrow else 0xE4, port])
    result = run(Program(code, mode, peripherals=peripherals))
    assert result.vector == (None if is_open and peripherals else GP)


@pytest.mark.parametrize("ring", [0, 3])
def test_a_task_that_returns(ring: int) -> None:
    """Twice, because the task goes on after its IRET."""
    far_call = b"\x9a" + struct.pack("<IH", 0, layout.RETURNING_TASK)
    result = run(Program(_TASK_SWITCH + far_call + b"\x43", PROTECTED, ring, peripherals=True))
    assert (result.end, result.registers["RBX"], result.registers["TR"]) == (End.DONE, 1, layout.TASK)
    assert run(Program(_TASK_SWITCH, LONG, peripherals=True)).vector == GP
    assert run(Program(_TASK_SWITCH, PROTECTED)).vector == GP
