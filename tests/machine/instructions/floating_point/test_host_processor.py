"""Every x87 instruction against the host's own processor: values, flags, condition code, tags, memory, EFLAGS.

All but the transcendental functions must agree bit for bit. If processors of another vendor differ from the manual, the
manual decides; `by_the_manual` lists these cases.
"""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from machine.instructions.floating_point.extended import EXPONENT, ONE, SIGN, SIGNIFICAND, ZERO_KIND, kind
from machine.instructions.floating_point.table import MEMORY_FORMS, REGISTER_FORMS
from machine.instructions.floating_point.words import BUSY, C0, C1, C2, C3, DE, ES, IE, PE
from tests.machine.instructions.floating_point.host_processor import Case, host_only
from tests.machine.instructions.floating_point.samples import differences, image, number, ours

pytestmark = host_only
Host = Callable[[Sequence[Case]], list[Case]]

TRANSCENDENTAL = {0xF0: "F2XM1", 0xF1: "FYL2X", 0xF2: "FPTAN", 0xF3: "FPATAN", 0xF9: "FYL2XP1"} | {
    0xFB: "FSINCOS",
    0xFE: "FSIN",
    0xFF: "FCOS",
}
BY_OPCODE: dict[int, list[bytes]] = {opcode: [] for opcode in range(0xD8, 0xE0)}
for form in REGISTER_FORMS:
    if form[0] != 0xD9 or form[1] not in TRANSCENDENTAL:
        BY_OPCODE[form[0]].append(bytes(form))
for opcode, field in MEMORY_FORMS:
    BY_OPCODE[opcode].append(bytes([opcode, field << 3 | 6]))

_LOADS_IMAGE = (b"\xd9\x26", b"\xdd\x26")
_DECIMAL = b"\xdf\x26"
_DATA = (
    *(0, 1, 0x8000_0000, 0x7F80_0000, 0x7F80_0001, 0x7FC0_0000, 0x3F80_0000, 0xFF80_0001, 0x7FFF_FFFF),
    *(0x7FF0 << 48, 0x7FF8 << 48, (0x7FF0 << 48) + 5, 1 << 63, 0x3FF0 << 48),
)


def control_word(rng: random.Random) -> int:
    masks = rng.choice((0x3F, 0x3F, rng.getrandbits(6), 0))
    return 0x40 | masks | rng.getrandbits(4) << 8


def starting_image(rng: random.Random) -> bytes:
    """Any state in which no exception is pending; often with room to push."""
    control, top = control_word(rng), rng.getrandbits(3)
    status = top << 11 | rng.choice((0, rng.getrandbits(16) & 0x4700)) | rng.getrandbits(6) & control
    tags = rng.choice((0, 3 << 2 * (top - 1 & 7), 3 << 2 * (top - 1 & 7), rng.getrandbits(16)))
    numbers = [number(rng) for _ in range(8)]
    if rng.random() < 0.05:
        numbers[1] = numbers[0]
    return image(control, status, tags, numbers)


def memory_operand(rng: random.Random, code: bytes) -> bytes:
    if code in _LOADS_IMAGE:
        numbers = [number(rng) for _ in range(8)]
        return image(rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(16), numbers).ljust(128, b"\0")
    if code == _DECIMAL:
        digits = [rng.randrange(10) | rng.randrange(10) << 4 for _ in range(9)]
        return bytes([*digits, rng.choice((0, 0x80))]).ljust(128, b"\x55")
    datum = rng.choice((number(rng), rng.choice(_DATA), rng.getrandbits(32), rng.getrandbits(64)))
    return datum.to_bytes(10, "little").ljust(128, b"\x55")


def cases(seed: int, count: int, codes: Sequence[bytes]) -> list[Case]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        code = rng.choice(codes)
        found.append(Case(code, starting_image(rng), memory_operand(rng, code), 2 | rng.getrandbits(12) & 0x8D5))
    return found


def compares_to_flags(code: bytes) -> bool:
    """FCOMI, FUCOMI, FCOMIP, FUCOMIP."""
    return code[0] in (0xDB, 0xDF) and 0xE8 <= code[1] <= 0xF7


def compares(code: bytes) -> bool:
    opcode, modrm = code
    if modrm < 0xC0:
        return opcode in (0xD8, 0xDA, 0xDC, 0xDE) and modrm >> 3 in (2, 3)
    return (
        (opcode in (0xD8, 0xDC, 0xDE) and 0xD0 <= modrm <= 0xDF)
        or (opcode == 0xDD and modrm >= 0xE0)
        or code in (b"\xda\xe9", b"\xd9\xe4")
    )


def status_of(case: Case) -> int:
    return int.from_bytes(case.image[4:6], "little")


def with_status(case: Case, status: int) -> Case:
    return replace(case, image=case.image[:4] + status.to_bytes(2, "little") + case.image[6:])


def by_the_manual(case: Case, host: Case, own: Case) -> Case:
    """The host's outcome, with our answer where only the manual's is right.

    * A comparison with an unmasked exception sets neither the condition code nor EFLAGS (volume 2, FCOM, FCOMI).
      AMD's processors set them to "unordered", or to the result.
    * FCOMI clears C1 (volume 2, FCOMI). AMD's leave it.
    """
    mask = 0
    control = int.from_bytes(case.image[:2], "little")
    ended = status_of(host) & ~control & (IE | DE)
    if compares_to_flags(case.code):
        mask = C1
        host = replace(host, flags=own.flags) if ended else host
    elif compares(case.code) and ended:
        mask = C0 | C2 | C3
    return with_status(host, status_of(host) & ~mask | status_of(own) & mask)


@pytest.mark.parametrize("opcode", BY_OPCODE, ids=[f"{opcode:X}" for opcode in BY_OPCODE])
def test_the_unit_agrees_with_the_host_bit_for_bit(host: Host, share: Callable[[int], int], opcode: int) -> None:
    samples = cases(opcode, share(80) * len(BY_OPCODE[opcode]), BY_OPCODE[opcode])
    found = []
    for case, there in zip(samples, host(samples), strict=True):
        here = ours(case)
        found.append(differences(case, by_the_manual(case, there, here), here))
    assert "\n".join(filter(None, found)) == ""


# Transcendental functions


def numbers_in(case: Case) -> list[int]:
    return [int.from_bytes(case.image[at : at + 10], "little") for at in range(28, 108, 10)]


def ulps(a: int, b: int) -> int:
    """The distance of two numbers with the same sign, in units of the last place."""
    if (a ^ b) & SIGN:
        return 0 if not (a | b) & ~SIGN else 1 << 80
    places = [(max(value >> 64 & EXPONENT, 1) << 63) + (value & SIGNIFICAND) for value in (a, b)]
    return abs(places[0] - places[1])


def is_defined(code: bytes, st0: int) -> bool:
    """The manual defines the result for the operand, and the host's processor has a sufficiently exact pi.

    AMD's processors reduce arguments with a pi of 66 bits, as Intel's do. Intel's return the smallest operands as they
    are, without the underflow of volume 1, 8.5.5.
    """
    magnitude = st0 & ~SIGN
    name = TRANSCENDENTAL[code[1]]
    if name in ("FSIN", "FCOS", "FPTAN", "FSINCOS"):
        if 0 < magnitude < 2 << 64:
            return False
        return magnitude >> 64 < 0x3FFE or magnitude >> 64 >= 0x403E  # below a half, or special, or too large
    if name == "F2XM1":
        return magnitude <= ONE or magnitude >> 64 == EXPONENT
    if name == "FYL2XP1":
        return magnitude >> 64 < 0x3FFD
    return True


def transcendental_cases(seed: int, code: bytes, count: int) -> list[Case]:
    rng = random.Random(seed)
    found: list[Case] = []
    while len(found) < count:
        case = Case(code, starting_image(rng))
        case = with_status(case, status_of(case) & ~0x3F)  # so that the instruction's exceptions are visible
        if is_defined(code, numbers_in(case)[0]):
            found.append(case)
    return found


def within_one_ulp(case: Case, host: Case, own: Case) -> Case:
    """The host's outcome, with our numbers where they are as close as promised, and then our C1.

    Where the result is exact, as log2(8) is, the host signals PE all the same; the manual says when not (8.5.6).
    """
    numbers = [a if ulps(a, b) <= 1 else b for a, b in zip(numbers_in(own), numbers_in(host), strict=True)]
    host = replace(host, image=host.image[:28] + b"".join(value.to_bytes(10, "little") for value in numbers))
    mask = C1 if status_of(own) & PE else 0
    if case.code[1] in (0xF0, 0xF1, 0xF9) and not status_of(own) & PE:
        mask = PE | C1
        if not case.image[0] & PE and not status_of(own) & ES:
            mask |= ES | BUSY
    return with_status(host, status_of(host) & ~mask | status_of(own) & mask)


@pytest.mark.parametrize("modrm", TRANSCENDENTAL, ids=TRANSCENDENTAL.values())
def test_a_transcendental_function_is_within_one_ulp_of_the_host(host: Host, modrm: int) -> None:
    samples = transcendental_cases(modrm, bytes([0xD9, modrm]), 700)
    found = []
    for case, there in zip(samples, host(samples), strict=True):
        here = ours(case)
        found.append(differences(case, within_one_ulp(case, there, here), here))
    assert "\n".join(filter(None, found)) == ""


def test_the_witness_reports_what_an_instruction_does(host: Host) -> None:
    """The harness itself: 1 + 1."""
    start = image(0x37F, 0, 0, [ONE, *[0] * 7])
    (there,) = host([Case(b"\xd8\xc0", start)])
    assert numbers_in(there)[0] == ONE + (1 << 64)
    assert kind(numbers_in(there)[1]) == ZERO_KIND
    assert struct.unpack_from("<H", there.image, 4)[0] == 0
