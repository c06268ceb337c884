"""The guest that calls the gate. What is in its registers is in no other image's, so no handler knows it by heart."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from machine.architecture.processor_state import GENERAL_REGISTERS

_RAX, _RSP = 0, 4
_XMM_REGISTERS, _X87_VALUES = 16, 7
_FLAGS, _ALWAYS = 0x20_0CD5, 0x202
"""The flags that each call has inverted: CF, PF, AF, ZF, SF, DF, OF, ID; and those that are always set."""
_CONTROL_WORD, _ROUNDING = 0x37F, 10
_MXCSR, _SSE_ROUNDING = 0x1F80, 13
_PUSH_RAX, _POP_RAX, _FILD, _FCOM = b"\x50", b"\x58", b"\xdf\x2c\x24", b"\xd8\xd1"
_FNINIT, _FLDCW, _LDMXCSR, _POPFQ = b"\xdb\xe3", b"\xd9\x2c\x24", b"\x0f\xae\x14\x24", b"\x9d"
_EMIT = b"\xfc\x89\xc7\xb8\x01\x00\x00\x00\xcd\x80"
"""CLD; MOV EDI, EAX; MOV EAX, 1; INT 80h."""
_END = b"\xb8\x03\x00\x00\x00\xcd\x80\x0f\x0b"


def caller(vector: int, numbers: Sequence[int], seed: bytes) -> bytes:
    """Return a guest that passes each number to a gate in EAX, and emits EAX.

    Args:
        vector: The gate's vector.
        numbers: The numbers, of 32 bits.
        seed: Determines the content of all other registers, which is new before each call.
    """
    values, code = _values(seed), b""
    flags = next(values)
    for at, number in enumerate(numbers):
        code += _filled(values) + _pushed((flags if at % 2 else ~flags) & _FLAGS | _ALWAYS) + _POPFQ
        code += _move(_RAX, number) + bytes([0xCD, vector]) + _EMIT
    return code + _END


def _filled(values: Iterator[int]) -> bytes:
    """Return instructions that put something into each register but RAX and RSP."""
    code = b"".join(_vector(number, values) for number in range(_XMM_REGISTERS)) + _FNINIT
    for _ in range(_X87_VALUES):
        code += _move(_RAX, next(values)) + _PUSH_RAX + _FILD + _POP_RAX
    rounding = 1 + next(values) % 3
    code += _FCOM + _pushed(_CONTROL_WORD | rounding << _ROUNDING) + _FLDCW + _POP_RAX
    code += _pushed(_MXCSR | rounding << _SSE_ROUNDING) + _LDMXCSR + _POP_RAX
    for number in range(len(GENERAL_REGISTERS)):
        if number not in (_RAX, _RSP):
            code += _move(number, next(values))
    return code


def _vector(number: int, values: Iterator[int]) -> bytes:
    """Return instructions that fill both halves of an XMM register."""
    pushed = b"".join(_move(_RAX, next(values)) + _PUSH_RAX for _ in range(2))
    prefix = b"\xf3" + (b"\x44" if number >= 8 else b"")
    return pushed + prefix + bytes([0x0F, 0x6F, 0x04 | (number & 7) << 3, 0x24]) + _POP_RAX * 2  # movdqu xmm, [rsp]


def _move(number: int, value: int) -> bytes:
    """Return MOV of 64 bits to a general register."""
    return bytes([0x48 | number >> 3, 0xB8 | number & 7]) + value.to_bytes(8, "little")


def _pushed(value: int) -> bytes:
    return b"\x68" + value.to_bytes(4, "little")


def _values(seed: bytes) -> Iterator[int]:
    """Yield numbers of 64 bits without end."""
    number = 0
    while True:
        yield int.from_bytes(sha256(seed + number.to_bytes(4, "big")).digest()[:8], "little")
        number += 1
