"""Programs of one instruction: a form with operands chosen by a number.

Registers have roles, so that memory operands mostly hit memory: RBX, RSI, RDI, RBP and R11 to R15 point at a record of
the data pages; RCX is a shift count or a small number of repetitions; the others are operands. If the r/m field names a
register, all of them but RSP are operands.
"""

from dataclasses import dataclass
from random import Random

from machine.bus.ram import PAGE_SIZE
from tests.machine.programs import layout
from tests.machine.programs.program import Mode, Program
from tests.oracle.enumeration.encoding import ADDRESS_SIZE, REP, REPNE, Map, immediate_size
from tests.oracle.enumeration.forms import Form
from tests.oracle.enumeration.operands import (
    COUNTS,
    FAR_POINTERS,
    FX_IMAGES,
    INTEGERS,
    RECORD,
    SELECTOR_RECORDS,
    SELECTORS,
    data_pages,
    fx_image,
    stack_pages,
)

_RCX, _RBX, _RSP, _RBP, _RSI, _RDI = 1, 3, 4, 5, 6, 7
_POINTERS = (_RBX, _RBP, _RSI, _RDI, 11, 12, 13, 14, 15)
_BASES = (_RBX, _RBP, _RSI, _RDI)
TAIL = b"\xcc" * 12
"""INT3, which ends the program, fills the maximum instruction length after the instruction."""
_ARITHMETIC, _DF, _AC, _TF = 0x8D5, 1 << 10, 1 << 18, 1 << 8
_FAR = frozenset(
    [(Map.ONE_BYTE.value, 0xC4), (Map.ONE_BYTE.value, 0xC5), *((b"\x0f", op) for op in (0xB2, 0xB4, 0xB5))]
)
_SELECTOR_OPERANDS = frozenset([(b"", 0x8E), (b"\x0f", 0x00), (b"\x0f", 0x02), (b"\x0f", 0x03)])
_SELECTORS_ON_STACK = frozenset(
    [(b"", opcode) for opcode in (0x07, 0x17, 0x1F, 0xCA, 0xCB, 0xCF)] + [(b"\x0f", 0xA1), (b"\x0f", 0xA9)]
)


@dataclass(frozen=True)
class Case:
    """A form with one choice of operands."""

    form: Form
    variant: int
    program: Program
    length: int
    """Length of the instruction, if it has the immediate of its opcode."""


def case(form: Form, variant: int) -> Case:
    """Case number `variant` of a form; it does not depend on others. Number 0 is a plain one."""
    return _Maker(form, variant).case()


class _Maker:
    def __init__(self, form: Form, variant: int) -> None:
        self.form, self.variant = form, variant
        self.random = Random(f"{form.name} {variant}")
        self.mode = Mode(form.mode)
        self.plain = variant == 0
        self.long = self.mode is Mode.LONG
        self.selector = (form.escape, form.opcode) in _SELECTOR_OPERANDS
        self.far = (form.escape, form.opcode) in _FAR or (form.opcode == 0xFF and form.extension in (3, 5))

    def case(self) -> Case:
        form, random = self.form, self.random
        code = form.prefixes + form.escape + bytes([form.opcode])
        if form.extension is not None:
            code += self._operand(form.extension)
        table = (
            Map(form.escape) if not form.vex else (Map.THREE_BYTE_3A if form.escape[1] & 3 == 3 else Map.THREE_BYTE_38)
        )
        size = immediate_size(table, form.opcode, form.extension or 0, form.prefixes, self.mode)
        code += self._immediate(size)
        image = 0 if self.plain else random.randrange(FX_IMAGES)
        program = Program(
            code + TAIL,
            self.mode,
            3,
            self._registers(),
            self._flags(),
            fx_image(image),
            fs_base=layout.DATA + 0x300 if self.long else 0,
            gs_base=layout.DATA + 0x500 if self.long else 0,
            data=data_pages(),
            stack=stack_pages(),
        )
        return Case(form, self.variant, program, len(code))

    def _flags(self) -> int:
        random = self.random
        flags = 0x202 | (0 if self.plain else random.getrandbits(12) & _ARITHMETIC)
        if not self.plain:
            flags |= _DF if random.randrange(8) == 0 else 0
            flags |= _AC if random.randrange(24) == 0 else 0
            flags |= _TF if random.randrange(48) == 0 else 0
        return flags

    def _registers(self) -> tuple[int, ...]:
        random, form = self.random, self.form
        values = [random.choice(INTEGERS) if random.randrange(4) else random.getrandbits(64) for _ in range(16)]
        if self.plain:
            values[0], values[2] = 0x0123_4567_89AB_CDEF, 0x0000_0003_8000_0005
        repeats = REP in form.prefixes or REPNE in form.prefixes
        values[_RCX] = random.choice((0, 1, 2, 5)) if repeats else random.choice(COUNTS)
        if self.selector:
            values = [random.choice(SELECTORS) for _ in range(16)]
        if not form.register or form.extension is None:
            target = self._target()
            for register in _POINTERS:
                values[register] = target if random.randrange(3) else self._target()
            values[_RBX] = target
            values[9] = random.randrange(16)
        shifts = (0, 0, 0, 8, 4, 2) if (form.escape, form.opcode) in _SELECTORS_ON_STACK else (0, 0, 8, 4, 2, 1, -1)
        values[_RSP] = layout.STACK_POINTER + (0 if self.plain else random.choice(shifts))
        if not self.plain and random.randrange(24) == 0:  # at the end of the stack's pages, or outside all pages
            values[_RSP] = random.choice((layout.STACK + 4, layout.STACK + 1, layout.ABSENT + 8))
        mask = 2**64 - 1 if self.long else 2**32 - 1
        return tuple(value & mask for value in values)

    def _target(self) -> int:
        """An address for a memory operand."""
        random = self.random
        if self.far:
            return layout.DATA + FAR_POINTERS + RECORD * random.randrange(32)
        if self.selector:
            return layout.DATA + SELECTOR_RECORDS + 2 * random.randrange(8, 128)
        record = RECORD * random.randrange(8, 2 * PAGE_SIZE // RECORD - 40)
        choice = 0 if self.plain else random.randrange(24)
        if choice < 12:
            return layout.DATA + record
        if choice < 16:
            return layout.DATA + record + random.randrange(1, RECORD)
        if choice < 19:
            return layout.DATA + PAGE_SIZE - random.randrange(1, RECORD)
        if choice < 21:
            return layout.DATA + 2 * PAGE_SIZE - random.randrange(1, RECORD + 1)
        if choice == 21:
            return layout.USER_READ_ONLY + random.randrange(256)
        if choice == 22:
            return layout.ABSENT + random.randrange(PAGE_SIZE)
        return layout.NON_CANONICAL + record if self.long else layout.TOP_OF_4_GIB + 0x800 + record % 0x400

    def _operand(self, extension: int) -> bytes:
        """ModRM with SIB and displacement."""
        random, reg = self.random, extension << 3
        if self.form.register:
            return bytes([0xC0 | reg | (_RCX if self.plain else random.randrange(8))])
        if not self.long and ADDRESS_SIZE in self.form.prefixes:
            return self._operand_16(reg)
        choice = 0 if self.plain else random.randrange(10)
        if choice < 5:
            return bytes([0x00 | reg | random.choice((_RBX, _RSI, _RDI))])
        near = random.choice((0, 1, 8, 16, -16, 32)).to_bytes(4, "little", signed=True)
        if choice == 5:
            return bytes([0x40 | reg | random.choice(_BASES)]) + near[:1]
        if choice == 6:
            return bytes([0x80 | reg | random.choice(_BASES)]) + near
        if choice == 7:  # a base, and RCX or no index
            return (
                bytes([0x44 | reg, random.choice((0x08, 0x48, 0x88, 0xC8, 0x20)) | random.choice((3, 6, 7))]) + near[:1]
            )
        address = (layout.DATA + RECORD * random.randrange(256)).to_bytes(4, "little")
        if choice == 8:
            return bytes([0x04 | reg, 0x25]) + address
        if self.long:  # relative to RIP: the code itself, which may be written
            return bytes([0x05 | reg]) + (0x100).to_bytes(4, "little")
        return bytes([0x05 | reg]) + address

    def _operand_16(self, reg: int) -> bytes:
        """16-bit addressing: nothing is mapped there, and the fault shows the address."""
        mode, low = self.random.choice((0x00, 0x40, 0x80)), self.random.randrange(8)
        size = {0x40: 1, 0x80: 2}.get(mode, 2 if low == 6 else 0)
        return bytes([mode | reg | low]) + self.random.randbytes(size)

    def _immediate(self, size: int) -> bytes:
        random, opcode = self.random, self.form.opcode
        if not size:
            return b""
        if not self.form.escape and 0xA0 <= opcode < 0xA4:
            return (layout.DATA + RECORD * random.randrange(256) & (1 << 8 * size) - 1).to_bytes(size, "little")
        if not self.form.escape and opcode in (0x9A, 0xEA):
            selector = random.choice(SELECTORS).to_bytes(2, "little")
            return (layout.CODE + 0x40 & (1 << 8 * (size - 2)) - 1).to_bytes(size - 2, "little") + selector
        if size == 1:
            values: tuple[int, ...] = (*COUNTS, 0x7F, 0x80, 0xFF, random.randrange(256), random.randrange(256))
        else:
            values = (*INTEGERS, 4, 5, 6, random.getrandbits(64), random.getrandbits(64))
        return (random.choice(values) & (1 << 8 * size) - 1).to_bytes(size, "little")
