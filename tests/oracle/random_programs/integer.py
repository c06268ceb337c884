"""Programs over the integer instructions of the SDM's volume 1, chapter 7."""

from collections.abc import Callable

from tests.oracle.random_programs.encoding import (
    ADDRESS_SIZE,
    FS,
    GS,
    LOCK,
    OPERAND_SIZE,
    REP,
    REPNE,
    Memory,
    encode,
    encode_plus,
    signed,
)
from tests.oracle.random_programs.maker import AF, ALL_FLAGS, OF, PF, SF, Maker

_CMP, _NOT, _NEG = 7, 2, 3
_THROUGH_CARRY = (2, 3)  # RCL, RCR


def _lock(m: Maker, rm: int | Memory, allowed: bool = True) -> bytes:
    """LOCK where it is allowed; rarely elsewhere."""
    wanted = m.chance(6) if allowed and isinstance(rm, Memory) else m.chance(60)
    return bytes([LOCK]) if wanted else b""


def _lock_memory(m: Maker, rm: int | Memory, allowed: bool) -> bytes:
    """LOCK, but never with a register: QEMU aborts at LOCK BTS, BTR and BTC of a register."""
    return _lock(m, rm, allowed) if isinstance(rm, Memory) else b""


def _define_flags(m: Maker) -> None:
    """After a bit test, which leaves OF, SF, AF and PF undefined: save CF by SETC, define all by CMP."""
    m.undefined(OF | SF | AF | PF)
    m.emit(encode(b"\x0f\x92", 0, m.destination(), at=m.at, force_rex=True))
    m.undefined(OF | SF | AF | PF)
    m.emit(encode(b"\x83", _CMP, m.register(), at=m.at, immediate=signed(m.number(8), 1)))


def _any_width(m: Maker) -> int:
    return 1 if m.chance(3) else m.width()


def _immediate(m: Maker, width: int) -> bytes:
    size = min(width, 4)
    return signed(m.number(), size)


def alu(m: Maker) -> None:
    """ADD, OR, ADC, SBB, AND, SUB, XOR, CMP in all their forms."""
    operation, width = m.random.randrange(8), _any_width(m)
    byte = width == 1
    form = m.random.randrange(5)
    if form == 0:
        rm = m.operand(width)
        prefix = _lock(m, rm, operation != _CMP)
        m.sized(bytes([operation * 8 + (0 if byte else 1)]), m.register(), rm, width, prefixes=prefix)
    elif form == 1:
        m.sized(bytes([operation * 8 + (2 if byte else 3)]), m.destination(), m.operand(width, written=False), width)
    elif form == 2:
        prefixes = bytes([OPERAND_SIZE]) if width == 2 else b""
        rex = b"\x48" if width == 8 else b""
        m.emit(prefixes + rex + bytes([operation * 8 + (4 if byte else 5)]) + _immediate(m, width))
    else:
        rm, short = m.operand(width), form == 3 and not byte
        opcode = 0x80 if byte else 0x83 if short else 0x81
        immediate = _immediate(m, 1 if short else width)
        m.sized(bytes([opcode]), operation, rm, width, immediate=immediate, prefixes=_lock(m, rm, operation != _CMP))


def unary(m: Maker) -> None:
    """TEST, NOT, NEG, MUL, IMUL, DIV, IDIV, INC, DEC."""
    width = _any_width(m)
    if m.chance(4):
        extension, opcode = m.random.randrange(2), 0xFE if width == 1 else 0xFF
        rm = m.operand(width)
        return m.sized(bytes([opcode]), extension, rm, width, prefixes=_lock(m, rm))
    extension, opcode = m.random.randrange(8), 0xF6 if width == 1 else 0xF7
    rm = m.operand(width)
    immediate = _immediate(m, width) if extension < 2 else b""
    prefixes = _lock(m, rm, extension == _NOT) if extension != _NEG or isinstance(rm, int) else b""
    return m.sized(bytes([opcode]), extension, rm, width, immediate=immediate, prefixes=prefixes)


def multiply(m: Maker) -> None:
    """IMUL with two and three operands."""
    width, form = m.width(), m.random.randrange(3)
    rm = m.operand(width, written=False)
    if form == 0:
        m.sized(b"\x0f\xaf", m.destination(), rm, width)
    else:
        immediate = _immediate(m, 1 if form == 1 else width)
        m.sized(b"\x6b" if form == 1 else b"\x69", m.destination(), rm, width, immediate=immediate)


def shift(m: Maker) -> None:
    """ROL, ROR, RCL, RCR, SHL, SHR, SAL, SAR, SHLD, SHRD by one, an immediate or CL."""
    width, form = _any_width(m), m.random.randrange(4)
    if form == 3:
        width = m.width()
        opcode, rm = m.random.choice((0xA4, 0xAC, 0xA5, 0xAD)), m.operand(width)
        immediate = b"" if opcode & 1 else signed(m.number(8), 1)
        return m.sized(bytes([0x0F, opcode]), m.register(), rm, width, immediate=immediate)
    opcode = (0xC0, 0xD0, 0xD2)[form] + (width != 1)
    immediate = signed(m.number(8), 1) if form == 0 else b""
    extension, rm = m.random.randrange(8), m.operand(width)
    if extension in _THROUGH_CARRY and isinstance(rm, Memory):
        m.undefined(ALL_FLAGS)  # QEMU has set them when the store faults
    return m.sized(bytes([opcode]), extension, rm, width, immediate=immediate)


def bits(m: Maker) -> None:
    """BT, BTS, BTR, BTC, BSF, BSR, TZCNT."""
    width, form = m.width(), m.random.randrange(4)
    if form == 0:
        extension, rm = m.random.randrange(4, 8), m.operand(width)
        immediate = signed(m.number(8), 1)
        m.sized(b"\x0f\xba", extension, rm, width, immediate=immediate, prefixes=_lock_memory(m, rm, extension != 4))
        _define_flags(m)
    elif form == 1:
        opcode, rm = m.random.choice((0xA3, 0xAB, 0xB3, 0xBB)), m.operand(width)
        m.sized(bytes([0x0F, opcode]), m.register(), rm, width, prefixes=_lock_memory(m, rm, opcode != 0xA3))
        _define_flags(m)
    else:
        opcode = m.random.choice((0xBC, 0xBD))
        prefixes = bytes([REP]) if opcode == 0xBC and m.chance(4) else b""
        rm = m.operand(width, written=False)
        m.sized(bytes([0x0F, opcode]), m.destination(), rm, width, prefixes=prefixes)


def move(m: Maker) -> None:  # noqa: PLR0912 - one branch a form
    """MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, BSWAP, MOVNTI, CMOVcc, SETcc."""
    form, width = m.random.randrange(13), _any_width(m)
    odd = 0 if width == 1 else 1
    if form == 0:
        m.sized(bytes([0x88 + odd]), m.register(), m.operand(width), width)
    elif form == 1:
        m.sized(bytes([0x8A + odd]), m.destination(), m.operand(width, written=False), width)
    elif form == 2:
        m.sized(bytes([0xC6 + odd]), 0, m.operand(width), width, immediate=_immediate(m, width))
    elif form == 3:
        wide = m.chance(2)
        immediate = signed(m.number(), 8 if wide else 4)
        m.emit(encode_plus(0xB8, m.destination(), wide=wide, immediate=immediate))
    elif form == 4:
        opcode = m.random.choice((0xB6, 0xB7, 0xBE, 0xBF))
        m.sized(bytes([0x0F, opcode]), m.destination(), m.operand(2, written=False), m.width())
    elif form == 5:
        m.sized(b"\x63", m.destination(), m.operand(4, written=False), m.width())
    elif form == 6:
        m.sized(b"\x8d", m.destination(), m.register() if m.chance(40) else m.memory(), m.width())
    elif form == 7:
        rm = m.operand(width)
        m.sized(bytes([0x86 + odd]), m.destination(), rm, width, prefixes=_lock(m, rm))
    elif form == 8:
        m.emit(encode_plus(0x90, m.destination(), wide=m.chance(2)))
    elif form == 9:
        m.emit(encode_plus(0x1C8, m.destination(), wide=m.chance(2)))
    elif form == 10:
        m.sized(b"\x0f\xc3", m.register(), m.memory(), m.random.choice((4, 8)))
    elif form == 11:
        opcode, width = 0x40 + m.random.randrange(16), m.width()
        m.sized(bytes([0x0F, opcode]), m.destination(), m.operand(width, written=False), width)
    else:
        rm = m.operand(1)
        if isinstance(rm, Memory):
            m.undefined(ALL_FLAGS)  # QEMU recomputes them before the store faults
        m.sized(bytes([0x0F, 0x90 + m.random.randrange(16)]), m.random.randrange(8), rm, 1)


def exchange(m: Maker) -> None:
    """CMPXCHG, XADD, CMPXCHG8B, CMPXCHG16B."""
    form, width = m.random.randrange(3), _any_width(m)
    if form < 2:
        opcode = (0xB0, 0xC0)[form] + (width != 1)
        rm = m.operand(width)
        if form == 0 and width == 4:  # Unicorn zero-extends even if it does not write: so that it is zero already
            m.emit(b"\x89\xc0")
            if isinstance(rm, int):
                m.emit(encode(b"\x89", rm, rm, at=m.at))
        return m.sized(bytes([0x0F, opcode]), m.destination(), rm, width, prefixes=_lock(m, rm))
    wide = m.chance(2)
    m.emit(b"\xeb\x00")  # QEMU: what set the flags must be in another block
    memory = m.memory(16 if wide else 8, aligned=not m.chance(8))
    return m.sized(b"\x0f\xc7", 1, memory, 8 if wide else 4, prefixes=_lock(m, memory))


def single(m: Maker) -> None:
    """Instructions without operands: CBW, CWD, LAHF, SAHF, CMC, CLC, STC, CLD, STD, XLAT, NOP, PAUSE."""
    code = m.random.choice("98 6698 4898 99 6699 4899 9f 9e f5 f8 f9 fc fd d7 67d7 90 f390 0f1f00 9b".split())
    m.emit(bytes.fromhex(code))


def stack(m: Maker) -> None:
    """PUSH, POP, PUSHF, POPF, ENTER, LEAVE."""
    form = m.random.randrange(9)
    prefixes = bytes([OPERAND_SIZE]) if m.chance(5) else b""
    if form < 2:
        m.emit(encode_plus(0x50, m.register(), prefixes=prefixes))
    elif form < 4:
        m.emit(encode_plus(0x58, m.destination(), prefixes=prefixes))
    elif form == 4:
        short = m.chance(2)
        size = 1 if short else 2 if prefixes else 4
        m.emit(prefixes + (b"\x6a" if short else b"\x68") + signed(m.number(), size))
    elif form == 5:
        m.sized(b"\xff", 6, m.operand(8, written=False), 2 if prefixes else 4)
    elif form == 6:
        m.sized(b"\x8f", 0, m.operand(8), 2 if prefixes else 4)
    elif form == 7:
        m.emit(prefixes + m.random.choice((b"\x9c", b"\x9c\x8f\x44\x24\xf8", b"\x9c\x58")))
    else:
        level = m.random.choice((0, 0, 1, 2, 3, 31, 33))
        enter = b"\xc8" + signed(m.random.randrange(64), 2) + bytes([level])
        m.emit(enter if m.chance(2) else prefixes + b"\xc9")


def strings(m: Maker) -> None:
    """MOVS, CMPS, STOS, LODS, SCAS, alone and repeated, forwards and backwards."""
    prefixes = m.random.choice((b"", b"", bytes([REP]), bytes([REP]), bytes([REPNE])))
    if m.chance(8):
        prefixes += bytes([m.random.choice((FS, GS, 0x2E))])
    if m.chance(8):
        prefixes += bytes([ADDRESS_SIZE])
    width = _any_width(m)
    prefixes += bytes([OPERAND_SIZE]) if width == 2 else b""
    rex = b"\x48" if width == 8 else b""
    opcode = m.random.choice((0xA4, 0xA6, 0xAA, 0xAC, 0xAE)) + (width != 1)
    if m.chance(3):
        m.emit(b"\xb9" + signed(m.random.randrange(40), 4))
    if m.chance(4):
        m.emit(m.random.choice((b"\xfc", b"\xfd")))
    m.emit(prefixes + rex + bytes([opcode]))


def jump(m: Maker) -> None:
    """Jumps and calls over a few instructions, and RET to the address that CALL pushed."""
    skipped = Maker(m.random, m.ring)
    form = m.random.randrange(7)
    length = 5 if form == 3 else 6 if form == 4 else 2
    skipped.emit(*[bytes(length)], *m.instructions)  # so that addresses inside are right
    count = len(skipped.instructions)
    for _ in range(m.random.randrange(1, 4)):
        m.random.choice(SIMPLE)(skipped)
    body = skipped.instructions[count:]
    distance = sum(map(len, body))
    if distance > 127:
        return
    m.undefined_flags |= skipped.undefined_flags
    if form < 3:
        m.emit(bytes([0x70 + m.random.randrange(16), distance]), *body)
    elif form == 3:
        m.emit(b"\xe8" + signed(distance, 4), *body)
    elif form == 4:
        m.emit(bytes([0x0F, 0x80 + m.random.randrange(16)]) + signed(distance, 4), *body)
    elif form == 5:
        m.emit(bytes([m.random.choice((0xE2, 0xE3)), distance]), *body)
    else:
        m.emit(bytes([0xEB, distance]), *body)


def loop(m: Maker) -> None:
    """A bounded loop by LOOP, or by DEC and JNZ."""
    start = m.at
    count = len(m.instructions) + 1
    m.emit(b"\xb9" + signed(m.random.randrange(1, 9), 4))
    start = m.at
    for _ in range(m.random.randrange(1, 4)):
        m.random.choice(SIMPLE)(m)
    form = m.random.randrange(3)
    before, opcode = ((b"\xff\xc9", 0x75), (b"", 0xE2), (b"\xeb\x00", m.random.choice((0xE0, 0xE1))))[form]
    distance = start - m.at - len(before) - 2
    if distance < -128:
        del m.instructions[count:]
        return
    m.emit(*[before] * (form != 1), bytes([opcode]) + signed(distance, 1))
    if form == 2:  # LOOPE, LOOPNE: Unicorn's flags are wrong when the count ends it, QEMU's in the same block
        m.undefined(ALL_FLAGS)
        m.emit(encode(b"\x83", _CMP, m.register(), at=m.at, immediate=signed(m.number(8), 1)))


def call(m: Maker) -> None:
    """Indirect and returning branches: CALL and RET, JMP by register or memory, PUSH and RET."""
    form = m.random.randrange(3)
    if form == 0:  # call +1; jmp +1; ret
        m.emit(b"\xe8" + signed(2, 4), b"\xeb\x01", b"\xc3")
    elif form == 1:  # lea rax, [rip+2]; jmp rax
        m.emit(b"\x48\x8d\x05" + signed(2, 4), b"\xff\xe0")
    else:  # lea rdx, [rip+n]; push rdx; ret imm16
        m.emit(b"\x48\x8d\x15" + signed(4, 4), b"\x52", b"\xc2" + signed(m.random.randrange(32), 2))


def wild(m: Maker) -> None:
    """A branch to the address in a register or memory."""
    m.sized(b"\xff", m.random.choice((2, 4)), m.operand(8, written=False), m.random.choice((4, 2)))


SIMPLE: tuple[Callable[[Maker], None], ...] = (
    *(alu,) * 6,
    *(unary,) * 3,
    multiply,
    *(shift,) * 3,
    *(bits,) * 2,
    *(move,) * 5,
    *(exchange,) * 2,
    single,
    *(stack,) * 2,
)
INTEGER: tuple[Callable[[Maker], None], ...] = (*SIMPLE * 3, *(strings,) * 6, *(jump,) * 5, *(loop,) * 3, call, call)


def program(m: Maker) -> None:
    """Up to a dozen instructions; rarely with a wild branch at the end."""
    for _ in range(m.random.randrange(3, 13)):
        m.random.choice(INTEGER)(m)
    if m.chance(12):
        wild(m)
