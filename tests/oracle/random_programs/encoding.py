"""x86-64 instruction encoding (SDM volume 2, chapter 2): prefixes, REX, opcode, ModRM, SIB, displacement, immediate."""

from dataclasses import dataclass

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
OPERAND_SIZE, ADDRESS_SIZE, LOCK, REPNE, REP, FS, GS = 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x64, 0x65
_RIP_LENGTH = 4


@dataclass(frozen=True)
class Memory:
    """A memory operand. Without base and index, it is absolute; with `rip` the displacement is a linear address."""

    base: int | None = None
    index: int | None = None
    scale: int = 0
    displacement: int = 0
    rip: bool = False
    prefixes: bytes = b""
    """Segment override and address size."""


def signed(value: int, size: int) -> bytes:
    """`value` modulo 2^(8 * size), little-endian."""
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def encode(
    opcode: bytes,
    reg: int,
    rm: int | Memory,
    *,
    at: int,
    wide: bool = False,
    prefixes: bytes = b"",
    immediate: bytes = b"",
    force_rex: bool = False,
) -> bytes:
    """An instruction with ModRM at linear address `at`; `reg` is a register or an opcode extension (0 to 15)."""
    rex = (8 if wide else 0) | (4 if reg & 8 else 0)
    if isinstance(rm, Memory):
        prefixes = rm.prefixes + prefixes
        extra, tail = _memory(rm)
        rex |= extra
        tail = bytes([tail[0] | (reg & 7) << 3]) + tail[1:]
    else:
        rex |= 1 if rm & 8 else 0
        tail = bytes([0xC0 | (reg & 7) << 3 | rm & 7])
    head = prefixes + (bytes([0x40 | rex]) if rex or force_rex else b"") + opcode
    if isinstance(rm, Memory) and rm.rip:
        end = at + len(head) + 1 + _RIP_LENGTH + len(immediate)
        tail = tail[:1] + signed(rm.displacement - end, 4)
    return head + tail + immediate


def encode_plus(
    opcode: int, register: int, *, wide: bool = False, prefixes: bytes = b"", immediate: bytes = b""
) -> bytes:
    """An instruction whose register is in the low three bits of its opcode; opcodes above 0xFF begin with 0F."""
    rex = (8 if wide else 0) | (1 if register & 8 else 0)
    code = opcode + (register & 7)
    body = bytes([0x0F, code & 0xFF]) if opcode > 0xFF else bytes([code])
    return prefixes + (bytes([0x40 | rex]) if rex else b"") + body + immediate


def _memory(m: Memory) -> tuple[int, bytes]:
    """REX bits X and B, and ModRM with what follows; the reg field is zero."""
    if m.rip:
        return 0, bytes([0x05, 0, 0, 0, 0])
    if m.base is None:
        index = 4 if m.index is None else m.index
        return (2 if index & 8 else 0), bytes([0x04, m.scale << 6 | (index & 7) << 3 | 5]) + signed(m.displacement, 4)
    rex = 1 if m.base & 8 else 0
    if m.displacement == 0 and m.base & 7 != RBP:
        mode, displacement = 0x00, b""
    elif -128 <= m.displacement < 128:
        mode, displacement = 0x40, signed(m.displacement, 1)
    else:
        mode, displacement = 0x80, signed(m.displacement, 4)
    if m.index is None and m.base & 7 != RSP:
        return rex, bytes([mode | m.base & 7]) + displacement
    index = 4 if m.index is None else m.index
    rex |= 2 if index & 8 else 0
    return rex, bytes([mode | 4, m.scale << 6 | (index & 7) << 3 | m.base & 7]) + displacement
