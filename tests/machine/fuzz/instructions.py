"""Instructions as bytes: random, by class, and with operands on which implementations differ.

A piece is one instruction or the few that set it up. Registers start with hostile values, so that few need that.
"""

import struct
from collections.abc import Callable
from random import Random

from tests.machine.fuzz.values import MSRS, address, flags, selector, value
from tests.machine.programs import layout

PREFIXES = (0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
Piece = Callable[[Random, bool], bytes]
"""Makes one; the second argument is True for 64-bit mode."""


def _prefixes(random: Random, long: bool) -> bytes:
    found = bytes(random.choice(PREFIXES) for _ in range(random.choice((0, 0, 0, 0, 1, 1, 2))))
    return found + bytes([0x40 | random.randrange(16)]) if long and random.randrange(3) == 0 else found


def _wide(random: Random, long: bool) -> bytes:
    """An operand size."""
    return random.choice((b"", b"\x66", b"\x48" if long else b""))


def _modrm(random: Random, long: bool, extension: int | None = None, *, memory: bool = False) -> bytes:
    """ModRM with what follows: a register, memory through one, or memory at a constant address."""
    reg = random.randrange(8) if extension is None else extension
    choice = random.randrange(2 if memory else 0, 12)
    if choice < 2 or (choice < 4 and not memory):
        return bytes([0xC0 | reg << 3 | random.randrange(8)])
    if choice < 7:
        return bytes([reg << 3 | random.choice((0, 1, 2, 3, 6, 7))])
    if choice < 9:
        return bytes([0x40 | reg << 3 | random.choice((0, 1, 2, 3, 5, 6, 7)), random.randrange(256)])
    if choice == 9:
        return bytes([reg << 3 | 4, random.randrange(256) & ~7 | random.choice((0, 1, 2, 3, 4, 6, 7))])
    where = struct.pack("<I", address(random) & 0xFFFF_FFFF)
    return bytes([reg << 3 | 4, 0x25]) + where if long else bytes([reg << 3 | 5]) + where


def _immediate(random: Random, size: int) -> bytes:
    return (value(random) & (1 << 8 * size) - 1).to_bytes(size, "little")


def set_register(random: Random, long: bool, register: int | None = None, content: int | None = None) -> bytes:
    """MOV of a value to a register."""
    number = random.randrange(8) if register is None else register
    content = value(random) if content is None else content
    if long and content >> 32:
        return bytes([0x48, 0xB8 | number]) + struct.pack("<Q", content)
    return bytes([0xB8 | number]) + struct.pack("<I", content & 0xFFFF_FFFF)


def raw(random: Random, long: bool) -> bytes:
    """Random bytes."""
    return bytes(random.randrange(256) for _ in range(random.randrange(1, 9)))


def any_opcode(random: Random, long: bool) -> bytes:
    """Prefixes, any opcode of any map, ModRM, and an immediate that may be none."""
    escape = random.choice((b"", b"", b"", b"\x0f", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a"))
    tail = _immediate(random, random.choice((0, 1, 1, 4)))
    return _prefixes(random, long) + escape + bytes([random.randrange(256)]) + _modrm(random, long) + tail


def stack(random: Random, long: bool) -> bytes:
    """Instructions with an implicit stack operand, often with RSP at a special place."""
    simple = "50 58 9c 9d c9 c3 cb cf 60 61 06 07 16 17 1e 1f 0e cc ce f1 0fa0 0fa1 0fa8 0fa9 6aff".split()
    choice = random.randrange(8)
    move = set_register(random, long, 4, address(random)) if random.randrange(2) else b""
    size = _wide(random, long)
    if choice < 4:
        return move + size + bytes.fromhex(random.choice(simple))
    if choice == 4:
        return move + size + b"\xc8" + _immediate(random, 2) + bytes([random.choice((0, 1, 2, 3, 31, 32))])
    if choice == 5:
        return move + size + b"\xff" + _modrm(random, long, random.choice((2, 3, 3, 6)))
    if choice == 6:
        return move + size + random.choice((b"\xe8" + bytes(4), b"\xca\x08\x00", b"\xc2\xf8\xff", b"\x8f\x03"))
    return move + bytes([0xCD, random.choice((3, 4, 8, 13, 14, 0x80, 0x81, random.randrange(256)))])


def far(random: Random, long: bool) -> bytes:
    """Far branches and far pointers: from memory, from the stack, and from the instruction."""
    choice = random.randrange(6)
    size = _wide(random, long)
    if choice < 2:
        return size + b"\xff" + _modrm(random, long, random.choice((3, 3, 5)), memory=True)
    if choice == 2:
        return (
            size
            + random.choice((b"\x0f\xb2", b"\x0f\xb4", b"\x0f\xb5", b"\xc4", b"\xc5"))
            + _modrm(random, long, memory=True)
        )
    if choice == 3:
        return random.choice((b"\x9a", b"\xea")) + struct.pack("<IH", address(random) & 0xFFFF_FFFF, selector(random))
    if choice == 4:
        words = selector(random), layout.CODE + random.randrange(64)
        return b"".join(b"\x68" + struct.pack("<I", word) for word in words) + size + b"\xcb"
    frame = selector(random), address(random) & 0x7FFF_FFFF, flags(random), selector(random), layout.CODE + 8
    return b"".join(b"\x68" + struct.pack("<I", word) for word in frame) + size + b"\xcf"


def selectors(random: Random, long: bool) -> bytes:
    """Loads of and looks at segments."""
    choice = random.randrange(5)
    load = set_register(random, long, 0, selector(random))
    if choice < 2:
        return load + b"\x8e" + bytes([0xC0 | random.randrange(8) << 3])
    if choice == 2:
        return load + random.choice((b"\x0f\x02", b"\x0f\x03", b"\x0f\x00")) + bytes([0xC0 | random.randrange(8) << 3])
    if choice == 3:
        return _wide(random, long) + b"\x8c" + _modrm(random, long)
    return (
        b"\x68"
        + struct.pack("<I", selector(random))
        + random.choice((b"\x0f\xa1", b"\x0f\xa9", b"\x07", b"\x17", b"\x1f"))
    )


def string(random: Random, long: bool) -> bytes:
    """String instructions, with counts and places."""
    set_up = b"".join(
        set_register(random, long, number, kind(random))
        for number, kind in ((1, value), (6, address), (7, address))
        if random.randrange(3) == 0
    )
    repeat = random.choice((b"", b"\xf3", b"\xf3", b"\xf2"))
    direction = random.choice((b"", b"", b"\xfd", b"\xfc"))
    size = bytes([0x67]) if random.randrange(6) == 0 else b""
    opcode = random.choice(b"\xa4\xa5\xa6\xa7\xaa\xab\xac\xad\xae\xaf\x6c\x6d\x6e\x6f\xd7")
    return set_up + direction + size + repeat + _wide(random, long) + bytes([opcode])


def vector(random: Random, long: bool) -> bytes:
    """SSE of all maps; those of SSE4.2 that compare strings more often."""
    prefix = random.choice((b"", b"\x66", b"\x66", b"\xf2", b"\xf3"))
    wide = b"\x48" if long and random.randrange(3) == 0 else b""
    choice = random.randrange(4)
    if choice == 0:
        opcode = bytes([random.choice((0x60, 0x61, 0x62, 0x63))])
        code = b"\x66" + wide + b"\x0f\x3a" + opcode + _modrm(random, long) + bytes([random.randrange(128)])
        lengths = set_register(random, long, 0), set_register(random, long, 2)
        return b"".join(lengths) + code if random.randrange(2) else code
    escape = (b"\x0f", b"\x0f\x38", b"\x0f\x3a")[choice - 1]
    opcode = bytes([random.randrange(0x10, 0x80) if choice == 1 and random.randrange(2) else random.randrange(256)])
    tail = bytes([random.randrange(256)]) if choice == 3 or random.randrange(4) == 0 else b""
    return prefix + wide + escape + opcode + _modrm(random, long) + tail


def x87(random: Random, long: bool) -> bytes:
    """x87 instructions, including saves and loads of the environment."""
    choice = random.randrange(4)
    if choice < 2:
        return bytes([random.randrange(0xD8, 0xE0)]) + _modrm(random, long)
    if choice == 2:
        form = random.choice(((0xD9, 4), (0xD9, 5), (0xD9, 6), (0xD9, 7), (0xDD, 4), (0xDD, 6), (0xDF, 4), (0xDF, 6)))
        return _wide(random, False) + bytes([form[0]]) + _modrm(random, long, form[1], memory=True)
    return _wide(random, long) + b"\x0f\xae" + _modrm(random, long, random.randrange(8))


_CODE_BYTES = tuple(map(bytes.fromhex, ("90909090", "f4909090", "f00fabc0", "f00fa3c8", "0fabc090", "efefefef")))
"""Harmless instructions, LOCK with a bit test of a register, parts of it, and bytes that become a prefix."""


def self_modifying(random: Random, long: bool) -> bytes:
    """A store into the code before or after itself: an immediate, a change, a register, or a stack pointed there."""
    at = layout.CODE + random.randrange(96)
    content = random.choice(_CODE_BYTES) if random.randrange(3) else _immediate(random, 4)
    where = (b"\x04\x25" if long else b"\x05") + struct.pack("<I", at)
    extension = bytes([where[0] | 8 * random.choice((0, 0, 1)), *where[1:]])
    lock, choice = random.choice((b"", b"\xf0")), random.randrange(6)
    if choice == 0:
        return b"\xc6" + where + content[:1]
    if choice == 1:
        return b"\xc7" + where + content
    if choice == 2:
        return lock + random.choice((b"\xfe", b"\xff")) + extension
    from_register = set_register(random, long, 0, int.from_bytes(content, "little"))
    if choice == 3:
        return from_register + lock + random.choice((b"\x01", b"\x31", b"\x87", b"\x0f\xc1", b"\x0f\xb1")) + where
    if choice == 4:
        few = set_register(random, long, 1, random.randrange(4)) + set_register(random, long, 7, at)
        return from_register + few + random.choice((b"", b"\xf3")) + random.choice((b"\xaa", b"\xab"))
    vector = random.choice((b"\x0f\x11", b"\x66\x0f\xd6", b"\x0f\x7f")) + where
    return vector if random.randrange(2) else set_register(random, long, 4, at) + b"\x68" + content


def branch(random: Random, long: bool) -> bytes:
    """Short branches, mostly forwards, and near indirect ones."""
    choice = random.randrange(4)
    if choice == 0:
        return b"\xff" + _modrm(random, long, random.choice((2, 4)))
    opcode = random.choice((0xEB, 0xE0, 0xE1, 0xE2, 0xE3, 0x70 | random.randrange(16)))
    return bytes([opcode, (random.randrange(24) - 6) & 0xFF])


_PLAIN = tuple(map(bytes.fromhex, "90 6690 d9d0 8cd8 0f00c0 0f00c8 0f01e0 0f02c0 9c 0fa2 f4 fa 0f09".split()))
"""Instructions that Unicorn executes, also privileged ones, and some that the machine does: SLDT, STR, SMSW and LAR."""


def up_to_4_gib(random: Random, long: bool) -> bytes:
    """A jump to an instruction whose last byte is the last one below 4 GiB, or would lie beyond: EDI points to it."""
    other = random.choice((any_opcode, any_opcode, x87, vector, system))
    last = random.choice(_PLAIN) if random.randrange(2) else other(random, long)[:12]
    if random.randrange(3) == 0:
        last = last[: random.randrange(1, len(last) + 1)]
    words = struct.unpack(f"<{-(-len(last) // 4)}I", last.rjust(len(last) + 3 & -4, b"\x90"))
    code = set_register(random, long, 7, (1 << 32) - 4 * len(words))
    for index, word in enumerate(words):
        code += struct.pack("<BBBI", 0xC7, 0x47, 4 * index, word)
    return code + bytes([0x83, 0xC7, 4 * len(words) - len(last), 0xFF, 0xE7])


def shadowed(random: Random, long: bool) -> bytes:
    """MOV SS, which delays interrupts, and an access to memory, perhaps by a segment with a limit."""
    limited = random.choice((layout.READ_ONLY_DATA, layout.EXPAND_DOWN_DATA, layout.SMALL_DATA, 0))
    code = set_register(random, long, 0, limited) + b"\x8e\xd8" if random.randrange(2) else b""
    code += set_register(random, long, 0, random.choice((layout.USER_DATA, selector(random)))) + b"\x8e\xd0"
    return code + bytes([random.choice((0x00, 0x02, 0x88, 0x8A))]) + _modrm(random, long, memory=True)


def system(random: Random, long: bool) -> bytes:
    """Privileged instructions."""
    simple = "fa fb f4 0f06 0f08 0f09 0f01f8 0f01f9 0f05 0f07 480f07 0f34 0f35 0fa2 0f31 0f33 0f0b 0f01d0 0f01d1 0f01c8"
    choice = random.randrange(7)
    if choice == 0:
        return bytes.fromhex(random.choice(simple.split()))
    if choice == 1:
        return b"\x0f" + bytes([random.choice((0x20, 0x21, 0x22, 0x23)), 0xC0 | random.randrange(64)])
    if choice == 2:
        return _wide(random, long) + b"\x0f\x01" + _modrm(random, long)
    if choice == 3:
        return _wide(random, long) + b"\x0f\x00" + _modrm(random, long)
    if choice == 4:
        number = set_register(random, long, 1, random.choice(MSRS))
        return number + (random.choice((b"\x0f\x32", b"\x0f\x30")))
    if choice == 5:
        port = set_register(random, long, 2, random.choice((0x60, 0x80, 0x20, 0x40, 0x3F8, 0xF4, 0xCF8, 0x510)))
        return port + _wide(random, False) + bytes([random.choice((0xEC, 0xED, 0xEE, 0xEF))])
    return random.choice((b"\xf3\x0f\xae", b"\xf3\x48\x0f\xae" if long else b"\xf3\x0f\xae")) + bytes(
        [0xC0 | random.randrange(64)]
    )


def flag_image(random: Random, long: bool) -> bytes:
    """POPF of a value."""
    return b"\x68" + struct.pack("<I", flags(random)) + _wide(random, False) + b"\x9d"


def kept_flags(random: Random, long: bool) -> bytes:
    """Arithmetic, followed by an instruction that keeps or reads some of its flags, mostly with a small count."""
    opcode = random.choice((*range(0, 0x40, 8), 0x84, 0xD0, 0xD2, 0xF6)) | random.randrange(2)
    extension = random.choice((2, 3, 4, 5, 6, 7)) if opcode >= 0xF6 else None
    arithmetic = bytes([opcode]) + _modrm(random, long, extension)
    choice = random.randrange(5)
    if choice == 0:
        after = bytes([random.choice((0xE0, 0xE1, 0xE2, 0xE3)), random.choice((0, 0, 0xFE))])
    elif choice == 1:
        after = _wide(random, long) + b"\x0f\xc7" + _modrm(random, long, 1, memory=True)
    elif choice == 2:
        after = random.choice((b"", b"\xf2", b"\xf3")) + random.choice((b"\xa4", b"\xab", b"\xac", b"\x6c", b"\x6f"))
    else:
        simple = (
            "9c",
            "9e",
            "9f",
            "f5",
            "d7",
            "27",
            "37",
            "0f31",
            "0fa2",
            "0f18c0",
            "e800000000",
            "cd81",
            "fb",
            "0f77",
        )
        after = bytes.fromhex(random.choice(simple))
    few = set_register(random, long, 1, random.choice((0, 1, 1, 2, 3))) if random.randrange(4) else b""
    return few + _wide(random, long) + arithmetic + after


PIECES: tuple[Piece, ...] = (
    *(
        any_opcode,
        any_opcode,
        any_opcode,
        any_opcode,
        raw,
        raw,
        stack,
        stack,
        far,
        far,
        selectors,
        string,
        vector,
        vector,
    ),
    *(x87, self_modifying, branch, up_to_4_gib, shadowed, system, flag_image, kept_flags, kept_flags, set_register),
)
