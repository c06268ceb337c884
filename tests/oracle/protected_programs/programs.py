"""Programs of one instruction for the runner: a form with operands chosen by a number, as a record of its module.

Valid memory operands are in the data and stack pages. Far pointers, frames and selectors exercise each check of the
manual: rights, types, gates, tasks, absence, limits of tables.
"""

import struct
from dataclasses import dataclass
from random import Random

from tests.machine.programs.program import Mode, Program
from tests.oracle.enumeration.encoding import REP
from tests.oracle.enumeration.programs import Case
from tests.oracle.protected_programs.forms import SystemForm
from tests.oracle.protected_programs.layout import number

NAMED = (
    *("KERNEL_DATA", "CODE_0", "DATA_0", "STACK_0", "CODE16_0", "DATA16_0", "CODE_1", "STACK_1", "CODE_3", "DATA_3"),
    *("STACK_3", "CODE16_3", "STACK16_3", "CONFORMING", "EXPAND_DOWN_3", "SHORT_3", "ABSENT_3", "READ_ONLY_3"),
    *("EXECUTE_ONLY_3", "ABSENT_CODE", "DATA_2", "GATE_INWARD", "GATE_SAME", "GATE16_INWARD", "GATE_ABSENT"),
    *("GATE_CONFORMING", "GATE_CLOSED", "TASK_GATE", "OTHER", "OTHER_16", "TASK_ABSENT", "TASK_SHORT", "TASK_BUSY"),
    *("LDT", "INTERRUPT_GATE"),
)
_OTHERS = (0, 3, 0x07, 0x0F, 0x17, 0x1F, 0x47, 0x200, 0xFFFB)
"""Null, the LDT's, and selectors beyond the tables."""
_TARGET, _ESP, _EBP, _OPERANDS = number("TARGET"), number("FRAME"), number("FRAME") + 0x20, number("OPERANDS")
_SOURCE, _DESTINATION, _PORT = 0x200, 0x300, 0xE4
_INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
_CR0 = (0x11, 0x13, 0x15, 0x19, 0x31, 0x5_0011, 0x2000_0011, 0x4000_0011, 0x6000_0011)
_CR4 = (0, 4, 0x10, 0x20, 0x80, 0x200, 0x600, 0x694)
_MSRS = (0x174, 0x175, 0x176, 0x1B, 0x1_2345)
_ARITHMETIC, _TF, _DF, _NT, _IOPL = 0x8D5, 1 << 8, 1 << 10, 1 << 14, 3 << 12
_TSS = struct.Struct("<26I")
_ONE, _TWO = b"", b"\x0f"
_NEAR = frozenset([*((_ONE, op) for op in (0xE8, 0xE9)), *((_TWO, op) for op in range(0x80, 0x90))])
_BIT = frozenset((_TWO, op) for op in (0xA3, 0xAB, 0xB3, 0xBB))


@dataclass(frozen=True)
class SystemCase:
    """A form with one choice of operands."""

    form: SystemForm
    variant: int
    code: bytes
    record: bytes
    """The record for the runner."""

    @property
    def as_case(self) -> Case:
        """The case as the enumeration's tables take it."""
        registers = struct.unpack_from("<8I", self.record, number("RECORD_TASK") + 40)
        program = Program(self.code, Mode.PROTECTED, self.form.place.ring, (*registers, *(0,) * 8))
        return Case(self.form.form, self.variant, program, len(self.code))


def case(form: SystemForm, variant: int, pointers: tuple[int, int]) -> SystemCase:
    """Case number `variant` of a form. `pointers` are the addresses of the runner's GDT and IDT."""
    return _Maker(form, variant, pointers).case()


class _Maker:
    def __init__(self, form: SystemForm, variant: int, pointers: tuple[int, int]) -> None:
        self.form, self.variant, self.pointers = form, variant, pointers
        self.random = Random(f"{form.name} {variant}")
        self.place = form.place
        self.at = form.escape, form.opcode
        self.selector = self._selector()

    def case(self) -> SystemCase:
        form = self.form
        code = form.prefixes + form.escape + bytes([form.opcode])
        if form.extension is not None:
            code += self._operand(form.extension)
        code += self._immediate(form.immediate_size)
        body = self._task() + self._memory() + self._stack() + code
        size = (8 + len(body) + 3) & ~3
        return SystemCase(form, self.variant, code, (struct.pack("<2I", size, len(code)) + body).ljust(size, b"\0"))

    def _selector(self) -> int:
        """Nearly always a selector of the table, with a fitting RPL or not."""
        random = self.random
        if random.randrange(6) == 0:
            return random.choice(_OTHERS)
        name = random.choice(NAMED)
        return number(name) | random.choice((self.place.ring, self.place.ring, 0, 3))

    def _task(self) -> bytes:
        ring, place = self.place.ring, self.place
        eax, ecx, edx, ebx = self._values()
        flags = 2 | self.random.getrandbits(12) & _ARITHMETIC
        chance = self.random.randrange(16)
        flags |= {0: _DF, 1: _TF, 2: _NT, 3: _IOPL, 4: _IOPL}.get(chance, 0)
        data = number(place.data) | ring
        back_link = self.random.choice((number("TASK_BUSY"), number("OTHER"), 0, number("DATA_0")))
        return _TSS.pack(
            back_link if flags & _NT else 0,
            *(0x900, number("STACK_0"), 0x880, number("STACK_1") | 1, 0, 0, 0, 0, flags),
            *(eax, ecx, edx, ebx, _ESP, _EBP, _SOURCE, _DESTINATION),
            *(data, number(place.code) | ring, number(place.stack) | ring, data, data, data),
            *(number("LDT"), 0x68_0000),
        )

    def _values(self) -> tuple[int, int, int, int]:
        """EAX, ECX, EDX, EBX."""
        random, form = self.random, self.form
        eax, ecx, edx, ebx = (
            random.choice(_INTEGERS) if random.randrange(2) else random.getrandbits(32) for _ in range(4)
        )
        if (
            form.opcode in (*range(0xE0, 0xE4), *range(0xA4, 0xA8), *range(0xAA, 0xB0), 0x6C, 0x6D, 0x6E, 0x6F)
            and not form.escape
        ):
            ecx, edx = random.choice((0, 1, 2, 3)), _PORT
        if REP in form.prefixes:
            ecx = random.choice((0, 1, 2, 3))
        if self.at in ((_ONE, 0xEC), (_ONE, 0xED), (_ONE, 0xEE), (_ONE, 0xEF)):
            edx = _PORT
        if self.at == (_ONE, 0xD7):
            ebx = _OPERANDS
        if self.at in ((_TWO, 0x30), (_TWO, 0x32)):
            eax, ecx, edx = 0, random.choice(_MSRS), 0
            if ecx == 0x1B:
                eax = 0xFEE0_0900
        if self.at in ((_TWO, 0x00), (_TWO, 0x02), (_TWO, 0x03), (_ONE, 0x8E), (_ONE, 0x63)):
            eax = ecx = edx = ebx = random.getrandbits(16) << 16 | self.selector
        if self.at in _BIT and not form.register:
            eax, ecx, edx, ebx = (random.randrange(512) for _ in range(4))
        if self.at == (_ONE, 0xFF) and form.extension in (2, 4):
            eax = ecx = edx = ebx = _TARGET
        if self.at == (_TWO, 0x22):
            value = random.choice({0: _CR0, 4: _CR4}.get(form.extension or 0, _INTEGERS))
            eax = ecx = edx = ebx = value
        if self.at == (_TWO, 0x23):
            eax = ecx = edx = ebx = 0x400 if form.extension in (5, 7) else random.choice(_INTEGERS)
        if self.at == (_TWO, 0x01) and form.extension == 6:
            eax = ecx = edx = ebx = random.choice((0x11, 0x13, 0xFFF1, 0x1F))
        return eax, ecx, edx, ebx

    def _operand(self, extension: int) -> bytes:
        """ModRM: EAX, ECX, EDX or EBX, or an absolute address."""
        reg = extension << 3
        if self.form.register or self.at in ((_TWO, op) for op in range(0x20, 0x24)):
            return bytes([0xC0 | reg | self.random.randrange(4)])
        if self.form.narrow_address:
            return bytes([reg | 6]) + _OPERANDS.to_bytes(2, "little")
        return bytes([reg | 5]) + _OPERANDS.to_bytes(4, "little")

    def _immediate(self, size: int) -> bytes:
        random, at = self.random, self.at
        if not size:
            return b""
        if not self.form.escape and 0xA0 <= self.form.opcode < 0xA4:
            return _OPERANDS.to_bytes(size, "little")
        if at in ((_ONE, 0x9A), (_ONE, 0xEA)):
            return _TARGET.to_bytes(size - 2, "little") + self.selector.to_bytes(2, "little")
        if at in _NEAR or (not self.form.escape and (0x70 <= at[1] < 0x80 or 0xE0 <= at[1] < 0xE4 or at[1] == 0xEB)):
            return (0x20).to_bytes(size, "little")
        if not self.form.escape and 0xE4 <= at[1] < 0xE8:
            return bytes([_PORT])
        if at == (_ONE, 0xCD):
            return bytes([random.choice((3, 4, 0x0D, 0x21, number("VECTOR_END"), 0xFF))])
        if at == (_ONE, 0xC8):
            return bytes([random.choice((0, 8, 0x40)), 0, random.choice((0, 1, 2, 3, 0x20, 0x22))])
        if at in ((_ONE, 0xC2), (_ONE, 0xCA)):
            return bytes([random.choice((0, 2, 4, 8)), 0])
        return (random.choice(_INTEGERS) & (1 << 8 * size) - 1).to_bytes(size, "little")

    def _memory(self) -> bytes:
        """What the memory operand is: a number, selector, far pointer, pair of bounds or table pointer."""
        random, form = self.random, self.form
        content = bytearray(random.randbytes(number("PATCH_SIZE")))
        if random.randrange(2):
            struct.pack_into("<I", content, 0, random.choice(_INTEGERS))
        if self.at in ((_TWO, 0x00), (_TWO, 0x02), (_TWO, 0x03), (_ONE, 0x8E), (_ONE, 0x63)):
            struct.pack_into("<H", content, 0, self.selector)
        far = self.at in ((_ONE, 0xC4), (_ONE, 0xC5), (_TWO, 0xB2), (_TWO, 0xB4), (_TWO, 0xB5), (_ONE, 0xFF))
        if far:
            struct.pack_into("<HH" if form.narrow else "<IH", content, 0, _TARGET, self.selector)
        if self.at == (_TWO, 0x01):
            if form.extension in (2, 3):
                limit = (number("GDT_SIZE"), 8 * number("VECTOR_END") + 8)[form.extension - 2] - 1
                struct.pack_into("<HI", content, 0, limit, self.pointers[form.extension - 2])
            elif form.extension == 6:
                struct.pack_into("<H", content, 0, random.choice((0x11, 0x13, 0xFFF1, 0x1F)))
        return bytes(content)

    def _stack(self) -> bytes:
        """A frame for returns: offset, selector, flags, stack, and selectors for POP; in words or doublewords."""
        random, ring = self.random, self.place.ring
        flags = 2 | random.getrandbits(12) & _ARITHMETIC | random.choice((0, 0, 0, _IOPL, _NT, _TF, 1 << 9))
        code = random.choice(
            (number(self.place.code) | ring, number("CODE_3") | 3, number("CODE16_3") | 3, self.selector)
        )
        stack = random.choice((number("STACK_3") | 3, number("STACK16_3") | 3, self.selector))
        if self.at in ((_ONE, 0x07), (_ONE, 0x17), (_ONE, 0x1F), (_TWO, 0xA1), (_TWO, 0xA9)):
            words = [self.selector, code, flags, 0x600, stack]
        elif self.at == (_ONE, 0x9D):
            words = [flags, code, flags, 0x600, stack]
        else:
            words = [_TARGET, code, flags, 0x600, stack]
        words += [random.getrandbits(16) for _ in range(11)]
        return struct.pack("<16H" if self.form.narrow else "<16I", *words).ljust(number("PATCH_SIZE"), b"\x5a")
