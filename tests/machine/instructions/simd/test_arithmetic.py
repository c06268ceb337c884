"""SSE floating-point instructions against the host's processor: results, flags, and unmasked exceptions."""

import random
from collections.abc import Iterator

import capstone
import pytest

from machine.architecture.instruction_set import Prefix
from machine.instructions.simd.arithmetic import OPERATIONS, Operation, Place
from tests.machine.instructions import samples
from tests.machine.instructions.programs import (
    DATA,
    DATA_BYTES,
    UD,
    XM,
    Program,
    State,
    UserMachine,
    differences,
    host_only,
    on_host,
)

APPROXIMATIONS = (0x0F52, 0x0F53)
PREFIX_BYTES = (b"", b"\x66", b"\xf3", b"\xf2")
FORMS = [
    (opcode, prefix, wide, operation)
    for wide in (False, True)
    for (opcode, prefix), operation in OPERATIONS[wide].items()
    if not wide or OPERATIONS[False][opcode, prefix] is not operation
]
ABSOLUTE = b"\x25" + (DATA + 32).to_bytes(4, "little")  # SIB: no base, no index


def programs(seed: int, each: int, *, memory: bool, masked: bool = False) -> Iterator[tuple[Program, int, Operation]]:
    """Programs with the immediate and the operation of their instruction, operands XMM1 and XMM2 or memory."""
    rng = random.Random(seed)
    for opcode, prefix, wide, operation in FORMS:
        for _ in range(each):
            immediate, first, second = rng.getrandbits(8), samples.vector(rng), samples.vector(rng)
            if rng.random() < 0.2:
                second = rng.choice((first, first ^ (1 << 127 | 1 << 63 | 1 << 31)))
            code = PREFIX_BYTES[prefix] + (b"\x48" if wide else b"") + opcode.to_bytes(2 + (opcode > 0xFFFF), "big")
            code += b"\x0c" + ABSOLUTE if memory else b"\xca"
            code += bytes([immediate]) if operation.has_immediate else b""
            general = (0, 0xAAAA_AAAA_BBBB_BBBB, samples.integer(rng), *(0,) * 13)
            source = {Place.VECTOR: second, Place.MMX: second, Place.GENERAL: general[2]}[operation.source]
            held = bytes(32) + source.to_bytes(16, "little") + bytes(DATA_BYTES - 48)
            start = State(
                general,
                (0, first, second, *(0,) * 13),
                (0, 0, second & 2**64 - 1, *(0,) * 5),
                samples.mxcsr(rng, masked=masked),
                memory=held if memory else bytes(DATA_BYTES),
            )
            yield Program(code, start), immediate, operation


def expected(program: Program, immediate: int, operation: Operation) -> State:
    """The end by our arithmetic only."""
    start = program.start
    source = {Place.VECTOR: start.vectors[2], Place.MMX: start.mmx[2], Place.GENERAL: start.general[2]}[
        operation.source
    ]
    mask = (1 << 8 * operation.source_bytes) - 1
    value, raised = operation.evaluate(start.vectors[1], source & mask, immediate, start.mxcsr)
    faults = bool(raised & ~(start.mxcsr >> 7))
    vectors, mmx, general, rflags = [list(start.vectors), list(start.mmx), list(start.general), start.rflags]
    if not faults:
        if operation.destination is Place.VECTOR:
            vectors[1] = value
        elif operation.destination is Place.MMX:
            mmx[1] = value
        elif operation.destination is Place.GENERAL:
            general[1] = value
        else:
            rflags = rflags & ~0x8D5 | value
    return State(
        tuple(general),
        tuple(vectors),
        tuple(mmx),
        start.mxcsr | raised,
        rflags,
        start.memory,
        XM if faults else UD,
        start.rip + (0 if faults else len(program.code)),
    )


def is_approximate(program: Program) -> bool:
    return any(opcode.to_bytes(2, "big") in program.code[:4] for opcode in APPROXIMATIONS)


@pytest.mark.slow
@host_only
def test_the_arithmetic_is_the_hosts() -> None:
    cases = [case for case in programs(1, 60, memory=False) if not is_approximate(case[0])]
    for (program, immediate, operation), end in zip(cases, on_host([case[0] for case in cases]), strict=True):
        assert differences(expected(program, immediate, operation), end) == {}, program


@pytest.mark.slow
@host_only
@pytest.mark.parametrize("memory", [False, True])
def test_the_machine_is_the_host(user_machine: UserMachine, memory: bool) -> None:
    cases = [case[0] for case in programs(2, 10, memory=memory)]
    for program, end in zip(cases, on_host(cases), strict=True):
        found = differences(user_machine.run(program), end)
        if is_approximate(program):
            found.pop("xmm1", None)
        assert found == {}, program


@pytest.mark.slow
@pytest.mark.parametrize("memory", [False, True])
def test_the_machine_keeps_to_the_arithmetic(user_machine: UserMachine, memory: bool) -> None:
    """Even without a host processor, and even if Unicorn computes."""
    for program, immediate, operation in programs(3, 6, memory=memory, masked=True):
        assert differences(user_machine.run(program), expected(program, immediate, operation)) == {}, program


@pytest.mark.parametrize(("opcode", "prefix", "wide", "operation"), FORMS)
def test_an_operand_in_memory_has_the_size_that_capstone_says(
    opcode: int, prefix: Prefix, wide: bool, operation: Operation
) -> None:
    """The other tests take it from the table. Of COMISD capstone says 16, the manual 8."""
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    code = PREFIX_BYTES[prefix] + (b"\x48" if wide else b"") + opcode.to_bytes(2 + (opcode > 0xFFFF), "big")
    found = next(disassembler.disasm(code + b"\x03" + b"\0", 0, 1))
    size = 8 if found.mnemonic == "comisd" else found.operands[1].size
    assert size == operation.source_bytes, found.mnemonic


@pytest.mark.parametrize("opcode", APPROXIMATIONS)
def test_reciprocals_are_within_the_manuals_error(opcode: int) -> None:
    """|relative error| <= 1.5 * 2^-12; zero and denormal numbers give infinities, and nothing is raised."""
    operation = OPERATIONS[False][opcode, Prefix.REPEAT]
    rng = random.Random(4)
    for _ in range(500):
        bits = rng.randrange(0x0080_0000, 0x7E80_0000)
        value = (bits & 0x7F_FFFF | 0x80_0000) * 2.0 ** ((bits >> 23) - 150)
        result, raised = operation.evaluate(0, bits, 0, 0)
        found = (result & 0x7F_FFFF | 0x80_0000) * 2.0 ** ((result >> 23) - 150)
        product = found * value if opcode == 0x0F53 else found * found * value
        assert raised == 0
        assert abs(product - 1) < 3.1 * 2**-12
    assert operation.evaluate(0, 0x8000_0001, 0, 0) == (0xFF80_0000, 0)
    assert operation.evaluate(0, 0x7F80_0000, 0, 0) == (0, 0)
    assert operation.evaluate(0, 0x7F80_0001, 0, 0) == (0x7FC0_0001, 0)
