"""Programs of random bytes: prefixes, an opcode byte of any opcode map, and anything after it. In ring 0 they are
redrawn until no instruction, whatever byte decoding starts at, could affect more than the program (`_UNSAFE`).
"""

import capstone

from tests.oracle.random_programs.layout import CODE
from tests.oracle.random_programs.maker import Maker

_PREFIXES = (0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
_UNSAFE = frozenset(
    "in out insb insw insd outsb outsw outsd hlt lgdt lidt lldt ltr lmsw wrmsr iret iretd iretq retf retfq sysret "
    "sysretq sysexit sysexitq rsm cli popf popfq popfd swapgs vmrun clgi stgi rdtsc rdtscp rdpmc cpuid".split()
)
_UNSAFE_OPCODES = (b"\x0f\x22", b"\x0f\x23", b"\x0f\x24", b"\x0f\x26", b"\x0f\x01", b"\x0f\x00")
_decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def _instruction(m: Maker) -> bytes:
    random = m.random
    prefixes = bytes(random.choice(_PREFIXES) for _ in range(random.choice((0, 0, 0, 1, 1, 2, 3))))
    rex = bytes([0x40 | random.randrange(16)]) if m.chance(3) else b""
    escape = random.choice((b"", b"", b"", b"\x0f", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a"))
    tail = bytes(random.randrange(256) for _ in range(random.randrange(1, 8)))
    if m.chance(2):  # ModRM: registers, or a pointer and a short displacement
        tail = bytes([random.choice((0xC0, 0x43, 0x45, 0x46, 0x47)) | random.randrange(8) << 3]) + tail[1:]
        return prefixes + rex + escape + bytes([random.randrange(256)]) + tail
    return prefixes + rex + escape + tail


def _safe(code: bytes) -> bool:
    padded = code + b"\xcd\x80" + b"\xcc" * 14
    for start in range(len(code)):
        found = next(_decoder.disasm_lite(padded[start:], CODE), None)
        if found is not None and (found[2].split() or [""])[-1] in _UNSAFE:
            return False
        if (
            padded[start : start + 2] in _UNSAFE_OPCODES
            or padded[start] in b"\x6c\x6d\x6e\x6f\xe4\xe5\xe6\xe7\xec\xed\xee\xef"
        ):
            return False
        if padded[start] in b"\xcf\xca\xcb\xf4\xfa\x9d":
            return False
    return True


def _excluded(code: bytes) -> bool:
    """Whether bytes cannot be compared. QEMU aborts at LOCK with a bit test of a register. CMPXCHG8B and CMPXCHG16B
    fault in another order. IRETD of flags with VM takes QEMU into virtual-8086 mode even in ring 3, and VIF stays set
    for all later programs.
    """
    if 0xCF in code:
        return True
    at = code.find(0x0F)
    if at < 0 or len(code) < at + 3:
        return False
    locked_test = code[at + 1] in b"\xa3\xab\xb3\xbb\xba" and code[at + 2] >= 0xC0 and 0xF0 in code[:at]
    return locked_test or (code[at + 1] == 0xC7 and code[at + 2] >> 3 & 7 == 1)


def program(m: Maker) -> None:
    """One to three instructions."""
    for _ in range(m.random.randrange(1, 4)):
        while True:
            code = _instruction(m)
            if _excluded(code):
                continue
            if m.ring == 3 or _safe(b"".join(m.instructions[-1:]) + code):
                break
        m.emit(code)
