"""Programs over system instructions (SDM volume 3, 2.8) whose effects the runner undoes. In ring 3 every instruction is
allowed: privileged ones fault. In ring 0 none may load control, debug, descriptor-table, task or model-specific
registers, halt, or access a device's port.
"""

from tests.oracle.random_programs import integer
from tests.oracle.random_programs.encoding import OPERAND_SIZE, encode, signed
from tests.oracle.random_programs.layout import CODE, STACK
from tests.oracle.random_programs.maker import Maker

PORTS = (0x80, 0xE0, 0xE1, 0xE4, 0xE7)
"""The POST code port and some without a device; the I/O permission bitmap opens them to ring 3."""
_SELECTORS = (*(s | rpl for s in range(0, 0xC0, 8) for rpl in range(4)), 0x04, 0x0C, 0xFFF8, 0xFFFF, 0x1000)
_K64, _KD, _UD, _U64 = 0x08, 0x10, 0x1B, 0x23
_RING3_ONLY = (
    "fa fb f4 0f06 0f08 0f09 0f30 0f32 0f20c0 0f22c0 0f20d8 0f22d8 0f21c0 0f23c0 0f0117 0f011f 0f0138 0f01f8 0f00d8 "
    "0f00d0 0f01f0 0f07 480f07 0f35 0f33 0f20e0 0f20d0 440f20c0 0f20c8 0f01d0"
).split()


def selector(m: Maker) -> int:
    """A selector of the GDT or beyond it, with any RPL."""
    return m.random.choice(_SELECTORS)


def look(m: Maker) -> None:
    """LAR, LSL, VERR, VERW of a selector."""
    m.emit(b"\xb8" + signed(selector(m), 4))
    opcode = m.random.choice((b"\x0f\x02", b"\x0f\x03"))
    if m.chance(2):
        m.emit(encode(opcode, m.destination(), 0, at=m.at, wide=m.chance(2)))
    else:
        m.emit(encode(b"\x0f\x00", m.random.choice((4, 5)), 0, at=m.at))


def segments(m: Maker) -> None:
    """MOV to and from segment registers, PUSH and POP of FS and GS."""
    form = m.random.randrange(4)
    if form == 0:
        m.sized(b"\x8c", m.random.randrange(8 if m.chance(10) else 6), m.operand(2), m.width())
    elif form == 1:
        m.emit(m.random.choice((b"\x0f\xa0", b"\x0f\xa8", b"\x66\x0f\xa0")))
    elif form == 2:
        m.emit(b"\x68" + signed(selector(m), 4), m.random.choice((b"\x0f\xa1", b"\x0f\xa9")))
    else:
        m.emit(b"\xb8" + signed(selector(m), 4))
        m.emit(encode(b"\x8e", m.random.choice((0, 0, 2, 3, 3, 4, 5, 1)), 0, at=m.at))


def store(m: Maker) -> None:
    """SGDT, SIDT, SLDT, STR, SMSW."""
    form = m.random.randrange(5)
    if form < 2:
        m.sized(b"\x0f\x01", form, m.memory(10), m.random.choice((2, 4, 8)))
    elif form == 4:
        m.sized(b"\x0f\x01", 4, m.operand(8), m.width())
    else:
        m.sized(b"\x0f\x00", form - 2, m.operand(8), m.width())


def flags(m: Maker) -> None:
    """POPF of anything, 16 or 64 bits, and PUSHF."""
    value = m.random.getrandbits(22) & ~0x100 if not m.chance(8) else m.random.getrandbits(31)
    prefixes = bytes([OPERAND_SIZE]) if m.chance(3) else b""
    m.emit(b"\x68" + signed(value, 4), prefixes + b"\x9d")
    if m.chance(2):
        m.emit(b"\x9c", b"\x58")


def ports(m: Maker) -> None:
    """OUT and OUTS to harmless ports; in ring 3 also IN and INS, from ports closed to it. The value of an open port
    depends on the device, which differs between the machines.
    """
    closed = m.ring == 3 and m.chance(2)
    port = 0x1000 + m.random.randrange(0xE000) if closed else m.random.choice(PORTS)
    prefixes = bytes([OPERAND_SIZE]) if m.chance(3) else b""
    form = m.random.randrange(6)
    if form < 2 and not closed:
        m.emit(prefixes + bytes([m.random.choice((0xE6, 0xE7)), port]))
        return
    m.emit(b"\xba" + signed(port, 4))
    if form < 4:
        m.emit(prefixes + bytes([m.random.choice((0xEC, 0xED, 0xEE, 0xEF) if closed else (0xEE, 0xEF))]))
    else:
        if m.chance(2):
            m.emit(b"\xb9" + signed(m.random.randrange(6), 4))
            prefixes += b"\xf3"
        m.emit(prefixes + bytes([m.random.choice((0x6C, 0x6D, 0x6E, 0x6F) if closed else (0x6E, 0x6F))]))


def interrupts(m: Maker) -> None:
    """INT n, INT3, INTO (invalid), INT1, UD2, UD1, BOUND (invalid)."""
    choice = m.random.randrange(6)
    if choice < 2:
        m.emit(bytes([0xCD, m.random.randrange(256)]))
    else:
        m.emit(m.random.choice((b"\xcc", b"\xce", b"\xf1", b"\x0f\x0b", b"\x0f\xb9\xc0", b"\x62\x00", b"\x0f\xff\xc0")))


def ring0(m: Maker) -> None:
    """Privileged instructions that the runner can undo."""
    code = "fb fbfa fb90fa 0f06 0f09 0f20c0 0f20e0 440f20c0 0f20d0 0f21f8 0f0138 0f01f8 0f08 450f20c0".split()
    if m.chance(5):  # the timer may fire while interrupts are off, and is taken after STI
        m.emit(b"\xfa")
        for _ in range(m.random.randrange(4)):
            m.random.choice(integer.SIMPLE)(m)
        m.emit(b"\xfb", b"\x90")
    else:
        m.emit(bytes.fromhex(m.random.choice(code)))


def ring3(m: Maker) -> None:
    """Instructions that ring 3 must not execute."""
    m.emit(bytes.fromhex(m.random.choice(_RING3_ONLY)))


def interrupt_return(m: Maker) -> None:
    """IRETQ and RETFQ to the next instruction, with valid selectors or not."""
    code, data = (_K64, _KD) if m.ring == 0 else (_U64, _UD)
    if m.ring == 0 and m.chance(3):
        code, data = _U64, _UD
    if m.chance(4):
        code = selector(m)
    if m.chance(6):
        data = selector(m)
    value = 0x202 | m.random.getrandbits(12) & 0xCD5 | m.random.choice((0, 0, 0x4000, 0x10000, 0x40000, 0x3000))
    if m.chance(2):
        pushes = [b"\x68" + signed(v, 4) for v in (data, STACK + 0x800, value, code)]
        tail = b"\x48\xcf"
    else:
        pushes = [b"\x68" + signed(v, 4) for v in (data, STACK + 0x800, code)]
        tail = b"\x48\xcb"
    after = m.at + sum(map(len, pushes)) + 5 + len(tail)
    pushes.append(b"\x68" + signed(after, 4))
    m.emit(*pushes, tail)
    if m.chance(20):
        m.emit(b"\x68" + signed(CODE, 4))


def program(m: Maker) -> None:
    """System instructions, with some integer ones."""
    choices = [look, look, segments, segments, segments, store, flags, flags, ports, interrupts, interrupt_return]
    choices += [ring3] if m.ring == 3 else [ring0] * 3
    for _ in range(m.random.randrange(2, 9)):
        if m.chance(4):
            m.random.choice(integer.SIMPLE)(m)
        else:
            m.random.choice(choices)(m)
