"""A small encoder of x86-64 instructions (Intel SDM volume 2, chapter 2), for the templates.

Registers are given by number: 0 to 15, RAX to RDI and R8 to R15. A memory operand is `[register]`, without
displacement.
"""

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
_REX, _REX_W = 0x40, 0x48
INT_80 = b"\xcd\x80"


def _rex(opcode: bytes, wide: bool, reg: int, base: int) -> bytes:
    rex = (_REX_W if wide else _REX) | reg >> 3 << 2 | base >> 3
    return (bytes([rex]) if rex != _REX else b"") + opcode


def registers(opcode: bytes, reg: int, operand: int, *, wide: bool = True, prefix: bytes = b"") -> bytes:
    """Encode an instruction whose ModRM byte has two registers, or an opcode extension and one register."""
    return prefix + _rex(opcode, wide, reg, operand) + bytes([0xC0 | (reg & 7) << 3 | operand & 7])


def memory(opcode: bytes, reg: int, base: int, *, wide: bool = True, prefix: bytes = b"") -> bytes:
    """Encode an instruction with a register (or an opcode extension) and the memory at `[base]`."""
    modrm, low = (reg & 7) << 3, base & 7
    if low == RSP:  # needs an SIB byte
        operand = bytes([modrm | 4, 0x24])
    elif low == RBP:  # without displacement this would mean RIP
        operand = bytes([modrm | 0x45, 0])
    else:
        operand = bytes([modrm | low])
    return prefix + _rex(opcode, wide, reg, base) + operand


def load(register: int, value: int) -> bytes:
    """Encode MOV of a constant, in the shortest form that sets all 64 bits."""
    value &= (1 << 64) - 1
    if value < 1 << 32:
        return _rex(bytes([0xB8 | register & 7]), False, 0, register) + value.to_bytes(4, "little")
    return _rex(bytes([0xB8 | register & 7]), True, 0, register) + value.to_bytes(8, "little")


def push(register: int) -> bytes:
    """Encode PUSH of a register."""
    return _rex(bytes([0x50 | register & 7]), False, 0, register)


def pop(register: int) -> bytes:
    """Encode POP to a register."""
    return _rex(bytes([0x58 | register & 7]), False, 0, register)


def push_value(value: int) -> bytes:
    """Encode a PUSH of a 64-bit constant, through RAX."""
    return load(RAX, value) + push(RAX)
