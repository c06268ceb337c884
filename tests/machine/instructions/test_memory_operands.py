"""Memory operands in every address size (SDM volume 2, 2.1.5): `decode` against capstone, and their addresses."""

import random
from functools import cache
from typing import Any

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.architecture.decoding import MemoryOperand, decode
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.instructions.accesses import Access, accesses, linear
from machine.instructions.operands import linear_address, peek
from tests.machine.instructions.processor import (
    ABSENT,
    CODE,
    CODE_16,
    DATA,
    READ_ONLY,
    Mode,
    Processor,
)

MODES = {64: capstone.CS_MODE_64, 32: capstone.CS_MODE_32, 16: capstone.CS_MODE_16}
SEGMENTS = {0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x26: "es", 0x64: "fs", 0x65: "gs"}
MOV = 0x8B
LAST_SUPERVISOR, NOWHERE = 0x1_F000, 1 << 47


@cache
def disassembler(bits: int) -> Any:
    made = capstone.Cs(capstone.CS_ARCH_X86, MODES[bits])
    made.detail = True
    return made


def number(name: str) -> int | None:
    """The number of a register by its name in any width."""
    if name in ("", "eiz", "riz", "rip", "eip"):
        return None
    if name.rstrip("d")[1:].isdigit():
        return int(name.rstrip("d")[1:])
    return GENERAL_REGISTERS.index(f"r{name[-2:]}")


@st.composite
def code_with_an_operand(draw: st.DrawFn, bits: int) -> bytes:
    """MOV of a register from memory, with prefixes."""
    prefixes = draw(st.lists(st.sampled_from([*SEGMENTS, 0x67]), max_size=2, unique_by=lambda one: one == 0x67))
    rex = [draw(st.integers(0x40, 0x4F))] if bits == 64 and draw(st.booleans()) else []
    modrm = draw(st.integers(0, 0xBF))
    return bytes([*prefixes, *rex, MOV, modrm]) + draw(st.binary(min_size=6, max_size=6))


@pytest.mark.parametrize("bits", MODES)
@settings(max_examples=400)
@given(data=st.data())
def test_an_operand_is_taken_apart_as_capstone_does(bits: int, data: st.DataObject) -> None:
    code = data.draw(code_with_an_operand(bits))
    ours = decode(code, long=bits == 64, wide=bits == 32)
    theirs = next(disassembler(bits).disasm(code, 0, 1))
    assert ours is not None
    assert ours.length == theirs.size
    operand, wanted = ours.operand, theirs.operands[1].mem
    assert isinstance(operand, MemoryOperand)
    name = theirs.reg_name
    base, index = (name(one) if one else "" for one in (wanted.base, wanted.index))
    assert (operand.base, operand.index) == (number(base), number(index))
    assert operand.relative == (base in ("rip", "eip"))
    assert operand.address_bits == 8 * theirs.addr_size
    assert (operand.displacement - wanted.disp) % (1 << operand.address_bits) == 0
    assert operand.scale == wanted.scale or operand.index is None
    overrides = [SEGMENTS[one] for one in code[: code.index(MOV)] if one in SEGMENTS]
    overrides = [one for one in overrides if bits != 64 or one in ("fs", "gs")]
    default = "ss" if operand.base in (4, 5) else "ds"
    assert operand.segment == (overrides[-1] if overrides else default)


@pytest.mark.parametrize("bits", MODES)
def test_an_operand_that_is_cut_short_is_none(bits: int) -> None:
    for modrm in range(0xC0):
        whole = bytes([MOV, modrm]) + bytes(6)
        found = decode(whole, long=bits == 64, wide=bits == 32)
        assert found is not None
        for length in range(found.length):
            assert decode(whole[:length], long=bits == 64, wide=bits == 32) is None, whole[:length].hex()


@pytest.mark.parametrize("opcode", range(0x20, 0x24))
def test_moves_of_control_and_debug_registers_are_between_registers_whatever_the_mode_says(opcode: int) -> None:
    """SDM volume 2, MOV CR and MOV DR: the two bits of mod are ignored."""
    for modrm in range(0x100):
        found = decode(bytes([0x0F, opcode, modrm]))
        assert found is not None
        assert (found.length, found.operand, found.register) == (3, modrm & 7, modrm >> 3 & 7)


@cache
def processor(bits: int) -> Processor:
    """One whose segments have bases, except in 64-bit mode."""
    made = Processor(Mode.LONG if bits == 64 else Mode.PROTECTED)
    if bits == 16:
        made.load("cs", CODE_16)
    rng = random.Random(bits)
    for name in ("ss", "ds", "es", "fs", "gs"):
        getattr(made.cpu.registers, name).base = rng.getrandbits(47 if bits == 64 else 32)
    for name in GENERAL_REGISTERS:
        setattr(made.cpu.registers, name, rng.getrandbits(64))
    return made


@pytest.mark.parametrize("bits", MODES)
@settings(max_examples=300)
@given(data=st.data())
def test_an_access_is_at_the_sum_of_its_parts(bits: int, data: st.DataObject) -> None:
    """In the address width, from the segment's base on; in 64-bit mode only FS and GS have one."""
    made = processor(bits)
    registers = made.cpu.registers
    code = data.draw(code_with_an_operand(bits))
    made.ram.write(CODE, code)
    instruction = decode(code, long=bits == 64, wide=bits == 32)
    assert instruction is not None
    operand = instruction.operand
    assert isinstance(operand, MemoryOperand)
    offset = operand.displacement + (CODE + instruction.length if operand.relative else 0)
    offset += 0 if operand.base is None else getattr(registers, GENERAL_REGISTERS[operand.base])
    offset += 0 if operand.index is None else getattr(registers, GENERAL_REGISTERS[operand.index]) * operand.scale
    offset &= (1 << operand.address_bits) - 1
    size = 8 if instruction.rex & 8 else 2 if bits == 16 else 4
    assert accesses(made.cpu, instruction) == [Access(operand.segment, offset, size, False)]
    base = getattr(registers, operand.segment).base if bits != 64 or operand.segment in ("fs", "gs") else 0
    address = (offset + base) % (1 << (64 if bits == 64 else 32))
    assert linear(registers, accesses(made.cpu, instruction)[0]) == address
    assert linear_address(made.cpu, instruction) == address


@pytest.mark.parametrize("ring", [0, 3])
def test_a_peek_reads_what_the_ring_may_read_and_marks_nothing(ring: int) -> None:
    made = Processor(Mode.LONG, ring)
    tables = made.ram.read(0x10_0000, 0x4000)
    made.ram.write(0x3_0FF8, bytes(range(16)))
    assert peek(made.cpu, 0x3_0FF8, 16) == bytes(range(16))
    assert peek(made.cpu, READ_ONLY + 4094, 2) == bytes(2)
    for address, length in ((ABSENT, 1), (ABSENT - 1, 2), (READ_ONLY - 1, 2), (NOWHERE, 1)):
        assert peek(made.cpu, address, length) is None
    crossing = peek(made.cpu, LAST_SUPERVISOR + 4095, 2)
    assert crossing == (None if ring else bytes(2))
    assert made.ram.read(0x10_0000, 0x4000) == tables


def test_a_peek_past_a_reserved_bit_is_none() -> None:
    made = Processor()
    entry = 0x10_3000 + 8 * (DATA >> 12)
    made.ram.write(entry + 5, b"\x01")  # a physical address with too many bits
    assert peek(made.cpu, DATA, 1) is None
    assert peek(made.cpu, DATA - 1, 1) == b"\0"


STACK: list[tuple[int, str, int]] = [
    *[(64, code, size) for code, size in (("48 CF", -40), ("CF", -12), ("66 CF", -6))],
    *[(64, code, size) for code, size in (("CB", -8), ("48 CB", -16), ("66 CB", -4), ("CA 08 00", -8))],
    *[(64, code, size) for code, size in (("C3", -8), ("C2 08 00", -8), ("E8 00 00 00 00", 8), ("50", 8), ("58", -8))],
    *[
        (64, code, size)
        for code, size in (("66 50", 2), ("66 58", -2), ("9C", 8), ("9D", -8), ("66 9C", 2), ("6A 01", 8))
    ],
    *[(64, code, size) for code, size in (("41 57", 8), ("0F A0", 8), ("0F A9", -8), ("C8 10 00 00", 8))],
    *[
        (32, code, size)
        for code, size in (("60", 32), ("61", -32), ("66 60", 16), ("66 61", -16), ("CF", -12), ("CB", -8))
    ],
    *[
        (32, code, size)
        for code, size in (("50", 4), ("66 58", -2), ("C3", -4), ("9C", 4), ("1E", 4), ("C8 10 00 00", 4))
    ],
    *[(16, code, size) for code, size in (("60", 16), ("66 61", -32), ("CF", -6), ("50", 2), ("66 50", 4), ("C3", -2))],
]
"""In code of this many bits, the bytes pushed, or popped if negative."""


@pytest.mark.parametrize(("bits", "code", "size"), STACK)
def test_what_is_on_the_stack_is_accessed_as_a_whole(bits: int, code: str, size: int) -> None:
    made = processor(bits)
    registers = made.cpu.registers
    made.ram.write(CODE, bytes.fromhex(code))
    top = registers.rsp if bits == 64 else registers.rsp & 0xFFFF_FFFF
    below = (top - max(size, 0)) & (2**64 - 1 if bits == 64 else 0xFFFF_FFFF)
    assert accesses(made.cpu, made.cpu.code.instruction_at(CODE)) == [Access("ss", below, abs(size), size > 0)]


def test_leave_pops_from_where_the_frame_pointer_points_to() -> None:
    for bits, size in ((64, 8), (32, 4)):
        made = processor(bits)
        made.ram.write(CODE, b"\xc9")
        frame = made.cpu.registers.rbp & (2**64 - 1 if bits == 64 else 0xFFFF_FFFF)
        assert accesses(made.cpu, made.cpu.code.instruction_at(CODE)) == [Access("ss", frame, size, False)]
