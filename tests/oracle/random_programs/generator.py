"""Makes programs and their starting states from a seed: the same seed, the same programs, on every host."""

import struct
from collections.abc import Callable
from random import Random

from tests.oracle.random_programs import integer, layout, raw, sse, system
from tests.oracle.random_programs.encoding import RSP
from tests.oracle.random_programs.maker import COUNTS, POINTERS, Maker
from tests.oracle.random_programs.program import Environment, Program

KINDS: dict[str, tuple[int, Callable[[Maker], None]]] = {
    "integer": (45, integer.program),
    "sse": (15, sse.program),
    "system": (25, system.program),
    "raw": (15, raw.program),
}
"""Name, weight in per cent, and maker of each kind of program."""
_FX_IMAGES = 12
_FLAGS = 0x8D5  # CF, PF, AF, ZF, SF, OF
_LONGEST = 240
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 3.0, 1e10, -1e10, 1e300, 1e-300, 5e-324, 2.2e-308, 3.14159, 2.0**31)
_FLOAT_BITS = (0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0x7FF4 << 48, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000)


def environment(seed: int) -> Environment:
    """FXSAVE images and the memory pool that the programs of `seed` start from."""
    random = Random(f"environment {seed}")
    pool = b"".join(_word(random) for _ in range(layout.POOL_SIZE // 8))
    return Environment(tuple(_fx_image(random) for _ in range(_FX_IMAGES)), pool)


def program(seed: int, index: int) -> Program:
    """Program number `index` of `seed`; it does not depend on the others."""
    random = Random(f"program {seed} {index}")
    kind = random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    ring = random.choice((0, 3, 3))
    maker = Maker(random, ring)
    KINDS[kind][1](maker)
    while maker.at - layout.CODE > _LONGEST:
        maker.instructions.pop()
    return Program(
        kind,
        ring,
        tuple(maker.instructions),
        _registers(maker),
        rflags=0x202 | random.getrandbits(12) & _FLAGS | (0x400 if maker.chance(16) else 0),
        fs_base=layout.DATA + 0x400 + random.randrange(0x100),
        gs_base=layout.STACK + 0x400 + random.randrange(0x100),
        fx=random.randrange(_FX_IMAGES),
        pool=random.randrange(layout.POOL_SIZE // 2 // 8) * 8,
        budget=random.randrange(1, 24) if maker.chance(4) else 2000,
        undefined_flags=tuple(sorted(maker.undefined_flags.items())),
    )


def _registers(m: Maker) -> tuple[int, ...]:
    values = [m.number() for _ in range(16)]
    for register in POINTERS:
        values[register] = layout.DATA + 0x800 + m.random.randrange(-0x20, 0x20) * (1 if m.chance(8) else 16)
    for register in COUNTS:
        values[register] = m.random.randrange(24)
    values[RSP] = layout.STACK + 0x800 + (m.random.randrange(-0x40, 0x40) if m.chance(8) else 0)
    return tuple(values)


def _word(random: Random) -> bytes:
    """Eight bytes: an integer, two floats, or a double, special values among them."""
    choice = random.randrange(8)
    if choice < 3:
        return random.getrandbits(64).to_bytes(8, "little")
    if choice == 3:
        return struct.pack("<q", random.choice((0, 1, -1, 1 << 62, -(1 << 63), 100, -100, (1 << 63) - 1)))
    if choice == 4:
        return struct.pack("<Q", random.choice(_FLOAT_BITS))
    if choice == 5:
        return struct.pack("<d", random.choice(_FLOATS))
    if choice == 6:
        return struct.pack("<2f", random.uniform(-1000, 1000), random.choice((0.0, 1.0, -2.5, 1e-40, 1e38)))
    return struct.pack("<d", random.uniform(-1e6, 1e6))


def _fx_image(random: Random) -> bytes:
    """An FPU with some registers in use, and vectors of integers and floats; exceptions are nearly always masked."""
    image = bytearray(layout.FX_SIZE)
    control = 0x37F if random.randrange(3) else random.choice((0x07F, 0x27F, 0xF7F, 0xB7F, 0x77F, 0x37E, 0x340))
    mxcsr = 0x1F80 if random.randrange(3) else random.choice((0x3F80, 0x5F80, 0x7F80))  # no FTZ, DAZ: docs/unicorn.md
    used = random.choice((0, 0, 1, 3, 5, 8))
    top = (8 - used) & 7
    tags = sum(1 << (7 - i) for i in range(used))
    struct.pack_into("<HHB", image, 0, control, top << 11, tags)
    struct.pack_into("<I", image, 24, mxcsr)
    for index in range(used):
        mantissa, exponent = random.getrandbits(63) | 1 << 63, random.randrange(0x3FE0, 0x4020)
        sign = random.getrandbits(1) << 15
        special = random.randrange(6)
        if special == 0:
            mantissa, exponent = random.choice(
                ((0, 0), (1 << 63, 0x7FFF), (0xC0 << 56, 0x7FFF), (1 << 63, 0x3FFF), (1, 0))
            )
        struct.pack_into("<QH", image, 32 + 16 * index, mantissa, exponent | sign)
    for index in range(32):
        image[160 + 8 * index : 168 + 8 * index] = _word(random)
    return bytes(image)
