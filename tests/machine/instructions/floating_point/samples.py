"""Operands, states and a comparison, shared by the tests of the x87 unit."""

import random
import struct

from machine.instructions.floating_point import environment
from machine.instructions.floating_point.execution import execute
from machine.instructions.floating_point.forms import Form
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.table import MEMORY_FORMS, REGISTER_FORMS
from tests.machine.instructions.floating_point.host_processor import Case

INTERESTING = tuple(
    sign << 79 | exponent << 64 | significand
    for sign in (0, 1)
    for exponent, significand in (
        (0, 0),
        (0, 1),
        (0, 0x7FFF_FFFF_FFFF_FFFF),
        (0, 1 << 63),  # pseudo-denormal
        (0, 0xFFFF_FFFF_FFFF_FFFF),
        (1, 1 << 63),
        (1, 0xFFFF_FFFF_FFFF_FFFF),
        (1, 0x4000_0000_0000_0000),  # unnormal
        (0x3C00, 0x8000_0000_0000_0000),
        (0x3C01, 0x8000_0000_0000_0000),
        (0x3F7F, 0xFFFF_FFFF_FFFF_FFFF),
        (0x3F81, 0x8000_0000_0000_0000),
        (0x3FBF, 0x8000_0000_0000_0000),
        (0x3FFD, 0xAAAA_AAAA_AAAA_AAAB),
        (0x3FFE, 0x8000_0000_0000_0000),
        (0x3FFE, 0xFFFF_FFFF_FFFF_FFFF),
        (0x3FFF, 0x8000_0000_0000_0000),
        (0x3FFF, 0x8000_0000_0000_0001),
        (0x3FFF, 0x8000_0080_0000_0000),
        (0x3FFF, 0x8000_0000_0000_0400),
        (0x3FFF, 0xC000_0000_0000_0000),
        (0x4000, 0xC90F_DAA2_2168_C235),
        (0x4003, 0xF000_0000_0000_0000),
        (0x400E, 0x8000_0000_0000_0000),
        (0x401E, 0x8000_0000_0000_0000),
        (0x403A, 0xDE0B_6B3A_763F_FF00),  # the largest packed decimal and a half
        (0x403D, 0xFFFF_FFFF_FFFF_FFFE),
        (0x403E, 0x8000_0000_0000_0000),
        (0x407E, 0xFFFF_FFFF_FFFF_FFFF),
        (0x43FE, 0xFFFF_FFFF_FFFF_FFFF),
        (0x7FFE, 0x8000_0000_0000_0000),
        (0x7FFE, 0xFFFF_FFFF_FFFF_FFFF),
        (0x7FFE, 0x7000_0000_0000_0000),  # unnormal
        (0x7FFF, 0x8000_0000_0000_0000),
        (0x7FFF, 0xC000_0000_0000_0000),
        (0x7FFF, 0xC000_0000_0000_0001),
        (0x7FFF, 0xE000_0000_0000_0000),
        (0x7FFF, 0x8000_0000_0000_0001),
        (0x7FFF, 0xA000_0000_0000_0000),
        (0x7FFF, 0x0000_0000_0000_0000),  # pseudo-infinity
        (0x7FFF, 0x4000_0000_0000_0001),  # pseudo-NaN
    )
)


def number(rng: random.Random) -> int:
    """Return an 80-bit datum: interesting, near one, of any exponent, or any bits."""
    choice = rng.random()
    if choice < 0.4:
        return rng.choice(INTERESTING)
    sign = rng.getrandbits(1) << 79
    significand = rng.choice((rng.getrandbits(64), rng.getrandbits(8) << 56, (1 << 64) - 1 - rng.getrandbits(4)))
    if choice < 0.8:
        return sign | 0x3FFF + rng.randint(-70, 70) << 64 | significand | 1 << 63
    if choice < 0.95:
        return (
            sign
            | rng.choice((rng.randrange(1, 100), rng.randrange(0x7F80, 0x7FFF), rng.randrange(1, 0x7FFF))) << 64
            | (significand | 1 << 63)
        )
    return rng.getrandbits(80)


def image(control: int, status: int, tags: int, numbers: list[int]) -> bytes:
    """Return an FRSTOR image; numbers begin with ST(0), tags with physical register 0."""
    head = struct.pack("<6H16x", control, 0xFFFF, status, 0xFFFF, tags, 0xFFFF)
    return head + b"".join(value.to_bytes(10, "little") for value in numbers)


class Bytes:
    """A memory operand."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def read(self, size: int) -> bytes:
        return bytes(self.data[:size])

    def write(self, data: bytes) -> None:
        self.data[: len(data)] = data

    def probe(self, size: int) -> None:
        assert size <= len(self.data)


def find(code: bytes) -> Form | None:
    """Return the form of an instruction with its operand at RSI, or in registers."""
    opcode, modrm = code[-2], code[-1]
    if modrm >= 0xC0:
        return REGISTER_FORMS.get((opcode, modrm))
    assert modrm & 0xC7 == 6
    return MEMORY_FORMS.get((opcode, modrm >> 3))


def ours(case: Case) -> Case:
    """Execute a case with our unit."""
    x87 = X87State()
    environment.restore(x87, case.image, wide=True)
    x87.flags = case.flags
    operand = Bytes(case.memory)
    form = find(case.code)
    assert form is not None
    execute(x87, form, operand, wide=case.code[0] != 0x66)
    rax = case.rax if x87.ax is None else case.rax & ~0xFFFF | x87.ax
    return Case(case.code, environment.save(x87, wide=True), bytes(operand.data), x87.flags, rax)


_ARITHMETIC_FLAGS = 0x8D5


def visible(case: Case) -> dict[str, str]:
    """Return the state after an instruction, by name, without the pointers and in readable form."""
    control, _, status, _, tags = struct.unpack_from("<5H", case.image)
    numbers = [case.image[at : at + 10][::-1].hex() for at in range(28, 108, 10)]
    found = {f"st{index}": value for index, value in enumerate(numbers)}
    return found | {
        "control": f"{control:04x}",
        "status": f"{status:04x}",
        "tags": f"{tags:04x}",
        "memory": case.memory.hex(),
        "flags": f"{case.flags & _ARITHMETIC_FLAGS:x}",
        "rax": f"{case.rax:x}",
    }


def differences(case: Case, host: Case, own: Case) -> str:
    """Describe the fields in which two outcomes differ; empty if they are equal."""
    there, here = visible(host), visible(own)
    parts = [f"{name}: host {there[name]} ours {here[name]}" for name in there if there[name] != here[name]]
    if not parts:
        return ""
    start = visible(case)
    given = " ".join(f"{name}={start[name]}" for name in ("control", "status", "tags", "st0", "st1"))
    return f"{case.code.hex()} {given} memory={case.memory[:10][::-1].hex()}\n    " + "; ".join(parts)
