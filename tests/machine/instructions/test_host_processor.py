"""Integer, MMX and BMI instructions that Unicorn gets wrong for some operands, against the host's processor."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.machine.instructions import samples
from tests.machine.instructions.programs import (
    DATA,
    DATA_BYTES,
    STATUS_FLAGS,
    Program,
    State,
    UserMachine,
    differences,
    host_only,
    on_host,
)

CF, ZF, SF, OF = 1, 1 << 6, 1 << 7, 1 << 11
RSP, RDI = 4, 7
ABSOLUTE = b"\x25" + (DATA + 32).to_bytes(4, "little")  # SIB: no base, no index


@dataclass(frozen=True)
class Kind:
    """Encodings of one kind: possible prefixes, opcodes, following bytes, and defined status flags."""

    prefixes: tuple[str, ...]
    opcodes: tuple[str, ...]
    registers: tuple[int, ...]
    """Values of the ModRM byte; none for an instruction without one."""
    memory: tuple[int, ...] = ()
    """Values of the reg field with a memory operand."""
    immediate: int = 0
    """Bytes."""
    flags: int = STATUS_FLAGS


REX = ("", "40", "41", "44", "45", "48", "4d")
BOTH = tuple(a + b for a, b in (("66", "f3"), ("f3", "66"), ("66", "f2"), ("f2", "66")))
SAME_OR_NOT = (0xC0, 0xC1, 0xC9, 0xCA, 0xD2, 0xFB)
KINDS = {
    "SSSE3, MMX": Kind(REX, tuple(f"0f38{n:02x}" for n in (*range(12), 0x1C, 0x1D, 0x1E)), SAME_OR_NOT, (0, 3)),
    "PALIGNR, MMX": Kind(REX, ("0f3a0f",), SAME_OR_NOT, (0, 3), 1),
    "SSSE3, XMM": Kind(tuple("66" + rex for rex in REX), tuple(f"0f38{n:02x}" for n in range(12)), SAME_OR_NOT, (0, 3)),
    "moves, F3": Kind(
        tuple(p + rex for p in ("f3", "66f3", "f366") for rex in REX),
        tuple(f"0f{n:02x}" for n in (0x10, 0x11, 0x12, 0x16, 0x6F, 0x7E, 0x7F)),
        SAME_OR_NOT,
        (0, 3),
    ),
    "moves, F2": Kind(
        tuple(p + rex for p in ("f2", "66f2", "f266") for rex in REX), ("0f10", "0f11", "0f12"), SAME_OR_NOT, (0, 3)
    ),
    "LDDQU": Kind(tuple(p + rex for p in ("f2", "66f2", "f266") for rex in REX), ("0ff0",), (), (0, 3)),
    "shuffles": Kind(BOTH, ("0f70",), SAME_OR_NOT, (1, 2), 1),
    "MOVQ2DQ, MOVDQ2Q": Kind((*BOTH, "f3", "f2"), ("0fd6",), SAME_OR_NOT),
    "BLSx": Kind(
        ("",), ("c4e270f3", "c4e2f0f3", "c4c230f3"), (0xC8, 0xD0, 0xD8, 0xDE), (1, 2, 3), flags=CF | ZF | SF | OF
    ),
    "BZHI": Kind(("",), ("c4e270f5", "c4e2f0f5"), (0xC3, 0xDE), (3,), flags=CF | ZF | SF | OF),
    "PDEP, PEXT": Kind(("",), ("c4e273f5", "c4e2f3f5", "c4e272f5"), (0xC3, 0xDE), (3,)),
    "BEXTR": Kind(("",), ("c4e270f7", "c4e2f0f7"), (0xC3, 0xDE), (3,), flags=CF | ZF | OF),
    "LAHF, SAHF": Kind(REX, ("9e", "9f"), ()),
    "MOV r/m8, imm": Kind(("", "44", "45", "66", "4d"), ("c6",), (0xC0, 0xC3, 0xC6), (0,), 1),
    "MOV r/m32, imm": Kind(("", "44", "45", "4d"), ("c7",), (0xC0, 0xC3, 0xC6), (0,), 4),
    "TEST r/m8, imm": Kind(("", "40", "41"), ("f6",), (0xC8, 0xCB, 0xCE), (1,), 1),
    "TEST r/m32, imm": Kind(("", "41", "48"), ("f7",), (0xC8, 0xCB), (1,), 4),
    "TEST r/m16, imm": Kind(("66",), ("f7",), (0xC8, 0xCB), (1,), 2),
    "POPCNT": Kind(("f3", "66f3", "66f348", "f348"), ("0fb8",), (0xCB, 0xDE), (3,)),
    "CMPXCHG": Kind(("", "66", "48", "41"), ("0fb1",), (0xCB, 0xD9, 0xDE, 0xC8), (3,)),
    "ADOX, ADCX": Kind(("f3", "66", "66f3", "f366", "66f348"), ("0f38f6",), (0xCB, 0xDE), (3,)),
    "MASKMOV": Kind(("", "66", "6645"), ("0ff7",), SAME_OR_NOT),
}


def programs(kind: Kind, rng: random.Random, count: int) -> Iterator[Program]:
    forms: list[int | None] = [*kind.registers, *(-1 - field for field in kind.memory)] or [None]
    for _ in range(count):
        form = rng.choice(forms)
        code = bytes.fromhex(rng.choice(kind.prefixes) + rng.choice(kind.opcodes))
        if form is not None:
            code += bytes([form]) if form >= 0 else bytes([(-1 - form) << 3 | 4]) + ABSOLUTE
        general = [samples.integer(rng) for _ in range(16)]
        if rng.random() < 0.4:  # so that comparisons are sometimes equal
            general[3] = general[0] ^ rng.choice((0, 1 << 63, 1 << 40))
        general[RSP], general[RDI] = DATA + 128, DATA + 64
        yield Program(
            code + rng.randbytes(kind.immediate),
            State(
                tuple(general),
                tuple(samples.vector(rng) for _ in range(16)),
                tuple(rng.getrandbits(64) for _ in range(8)),
                rflags=0x202 | rng.getrandbits(12) & STATUS_FLAGS,
                memory=rng.randbytes(DATA_BYTES),
            ),
        )


@host_only
@pytest.mark.parametrize("name", KINDS)
def test_the_machine_is_the_host(user_machine: UserMachine, share: Callable[[int], int], name: str) -> None:
    kind = KINDS[name]
    cases = list(programs(kind, random.Random(name), share(120)))
    for program, end in zip(cases, on_host(cases), strict=True):
        assert differences(user_machine.run(program), end, kind.flags) == {}, program
