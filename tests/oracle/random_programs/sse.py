"""Programs over SSE, SSE2 and SSE3 (SDM volume 1, chapters 10 to 12), without those that use MMX registers."""

from dataclasses import dataclass

from tests.oracle.random_programs import integer
from tests.oracle.random_programs.encoding import OPERAND_SIZE, REP, REPNE, Memory, encode, signed
from tests.oracle.random_programs.maker import Maker

_PREFIX = {"-": b"", "6": bytes([OPERAND_SIZE]), "3": bytes([REP]), "2": bytes([REPNE])}


@dataclass(frozen=True)
class _Form:
    opcode: int
    prefix: bytes
    operand: str
    """x: vector register or memory; m: memory only; r: vector register only; g: general register or memory; G: general
    register as destination, vector register as source."""
    immediate: bool


def _forms() -> tuple[_Form, ...]:
    """Every form in the lines below: opcodes, mandatory prefixes (- 66 F3 F2), kind of operand, immediate."""
    found = []
    for line in _TABLE.strip().splitlines():
        opcodes, prefixes, operand, *immediate = line.split()
        first, _, last = opcodes.partition("-")
        for opcode in range(int(first, 16), int(last or first, 16) + 1):
            found += [_Form(opcode, _PREFIX[p], operand, bool(immediate)) for p in prefixes]
    return tuple(found)


_TABLE = """
10-11 -632 x
12 -6 m
12 32 x
13 -6 m
14-15 -6 x
16 -6 m
16 3 x
17 -6 m
28-29 -6 x
2A 32 g
2B -6 m
2C-2D 32 G
2E-2F -6 x
50 -6 r
51 -632 x
52-53 -3 x
54-57 -6 x
58-59 -632 x
5A -632 x
5B -63 x
5C-5F -632 x
60-6B 6 x
6C-6D 6 x
6E 6 g
6F 63 x
70 632 x i
74-76 6 x
7C-7D 62 x
7E 6 g
7E 3 x
7F 63 x
C2 -632 x i
C4 6 g i
C5 6 r i
C6 -6 x i
D0 62 x
D1-D5 6 x
D6 6 x
D7 6 r
D8-E5 6 x
E6 632 x
E7 6 m
E8-EF 6 x
F0 2 m
F1-F6 6 x
F7 6 r
F8-FE 6 x
"""
FORMS = _forms()


def vector(m: Maker) -> None:
    """One instruction of the table."""
    form = m.random.choice(FORMS)
    immediate = signed(m.number(8), 1) if form.immediate else b""
    opcode = bytes([0x0F, form.opcode])
    rm: int | Memory = m.register()
    if form.operand == "m" or (form.operand in "xgG" and m.chance(3)):
        rm = m.memory(16, aligned=not m.chance(12))
    reg = m.destination() if form.operand == "G" else m.register()
    wide = form.operand in "gG" and m.chance(2)
    m.emit(encode(opcode, reg, rm, at=m.at, wide=wide, prefixes=form.prefix, immediate=immediate))


def shift(m: Maker) -> None:
    """Shifts of vectors by an immediate."""
    opcode = m.random.choice((0x71, 0x72, 0x73))
    extensions = (2, 6, 3, 7) if opcode == 0x73 else (2, 4, 6)
    prefixes = bytes([OPERAND_SIZE])
    immediate = signed(m.random.choice((0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 255)), 1)
    m.emit(
        encode(
            bytes([0x0F, opcode]),
            m.random.choice(extensions),
            m.register(),
            at=m.at,
            prefixes=prefixes,
            immediate=immediate,
        )
    )


def control(m: Maker) -> None:
    """LDMXCSR, fences, prefetches, CLFLUSH. STMXCSR and FXSAVE would show flags that Unicorn never sets."""
    choice = m.random.randrange(5)
    if choice == 0:
        value = m.random.choice((0x1F80, 0x3F80, 0x5F80, 0x7F80))
        m.emit(b"\x68" + signed(value, 4), b"\x0f\xae\x14\x24", b"\x58")
    elif choice == 1:
        m.emit(m.random.choice((b"\x0f\xae\xe8", b"\x0f\xae\xf0", b"\x0f\xae\xf8")))
    elif choice == 2:
        m.sized(b"\x0f\x18", m.random.randrange(4), m.memory(), 4)
    elif choice == 3:
        m.sized(b"\x0f\xae", 7, m.memory(), 4)
    else:
        m.sized(b"\x0f\x0d", m.random.randrange(2), m.memory(), 4)


def program(m: Maker) -> None:
    """Mostly vector instructions, with some integer ones."""
    for _ in range(m.random.randrange(2, 12)):
        choice = m.random.randrange(12)
        if choice == 0:
            control(m)
        elif choice == 1:
            m.random.choice(integer.SIMPLE)(m)
        elif choice == 2:
            shift(m)
        else:
            vector(m)
