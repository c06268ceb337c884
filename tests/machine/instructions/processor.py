"""A processor in a chosen mode and ring, to execute single instructions by their rules, without Unicorn.

Memory is identity-mapped with 4 KiB pages; this file defines the rights of each page and the descriptor table.
"""

import struct
from dataclasses import dataclass, field
from enum import Enum

from machine.architecture.decoding import decode
from machine.architecture.descriptors import segment
from machine.architecture.exceptions import Fault
from machine.architecture.paging import Mode as PagingMode
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.segmentation.rules import segmentation_rules
from machine.instructions.segmentation.task_switch import TaskFault
from machine.machine import Machine, MachineConfiguration
from machine.processor.cpu import Cpu

CODE, USER_STACK, KERNEL_STACK, DATA = 0x3_0000, 0x2_8000, 0x1_8000, 0x5_0000
GDT, LDT, TSS, TSS_2 = 0x1000, 0x2000, 0x3000, 0x5000
ABSENT, READ_ONLY, SUPERVISOR = 0x4_0000, 0x4_1000, 0x1_0000
_TABLES, _PAGES = 0x10_0000, 0x100
_PE, _WP, _PG, _LMA, _NXE = 1, 1 << 16, 1 << 31, 0x500, 0x800
_HFLAG_PE, _HFLAG_LMA = 1 << 7, 1 << 14

# Selectors, by their descriptors
CODE_64, DATA_0, DATA_3, CODE_64_USER = 0x08, 0x10, 0x18, 0x20
TASK, CODE_32, CODE_32_USER, CONFORMING, CONFORMING_3 = 0x28, 0x38, 0x40, 0x48, 0x50
LONG_AND_DEFAULT, ABSENT_CODE, READ_ONLY_DATA, GATE = 0x58, 0x60, 0x68, 0x70
LOCAL_TABLE, ABSENT_DATA, EXECUTE_ONLY, CODE_16, SHORT_CODE = 0x80, 0x90, 0x98, 0xA0, 0xA8
OTHER_TASK, TASK_GATE, DATA_1, STACK_16, BUSY_TASK, EXPAND_DOWN = 0xB0, 0xC0, 0xC8, 0xD0, 0xD8, 0xE0
BEYOND = 0x400


class Mode(Enum):
    """An operating mode."""

    LONG = "64-bit"
    COMPATIBILITY = "compatibility"
    PROTECTED = "protected"

    @property
    def long(self) -> bool:
        """IA-32e mode."""
        return self is not Mode.PROTECTED


def entry(access: int, flags: int = 0xC, base: int = 0, limit: int = 0xF_FFFF) -> bytes:
    """A descriptor of 8 bytes: access byte and the four flags G, D/B, L, AVL."""
    low = limit & 0xFFFF | (base & 0xFFFF) << 16
    high = base >> 16 & 0xFF | access << 8 | limit & 0xF_0000 | flags << 20 | base & 0xFF00_0000
    return struct.pack("<II", low, high)


def gate(selector: int, offset: int, access: int = 0xEC, parameters: int = 0) -> bytes:
    """A 16-byte gate; outside IA-32e mode only the first 8 bytes count."""
    low, middle = offset & 0xFFFF, offset >> 16 & 0xFFFF
    return struct.pack("<HHBBHQ", low, selector, parameters, access, middle, offset >> 32)


_DESCRIPTORS = {
    CODE_64: entry(0x9B, 0xA),
    DATA_0: entry(0x93),
    DATA_3: entry(0xF3),
    CODE_64_USER: entry(0xFB, 0xA),
    TASK: entry(0x8B, 0, TSS, 0x67) + bytes(8),
    CODE_32: entry(0x9B),
    CODE_32_USER: entry(0xFB),
    CONFORMING: entry(0x9F, 0xA),
    CONFORMING_3: entry(0xFF, 0xA),
    LONG_AND_DEFAULT: entry(0x9B, 0xE),
    ABSENT_CODE: entry(0x1B, 0xA),
    READ_ONLY_DATA: entry(0xF1),
    GATE: gate(CODE_64, 0x3_1000),
    LOCAL_TABLE: entry(0x82, 0, LDT, 0xFFF) + bytes(8),
    ABSENT_DATA: entry(0x13),
    EXECUTE_ONLY: entry(0xF9, 0xA),
    CODE_16: entry(0x9B, 0, 0, 0xFFFF),
    SHORT_CODE: entry(0x9B, 4, 0, 0xFFF),
    OTHER_TASK: entry(0x89, 0, TSS_2, 0x67) + bytes(8),
    TASK_GATE: gate(OTHER_TASK, 0, 0xE5)[:8],
    DATA_1: entry(0xB3),
    STACK_16: entry(0x93, 0, 0, 0xFFFF),
    BUSY_TASK: entry(0x8B, 0, TSS_2, 0x67),
    EXPAND_DOWN: entry(0x97, 0x4, 0, 0xFFFF),
}


@dataclass
class Processor:
    """One processor with RIP at `CODE`."""

    mode: Mode = Mode.LONG
    ring: int = 0
    descriptors: dict[int, bytes] = field(default_factory=dict)
    """In place of those above."""

    def __post_init__(self) -> None:
        self.machine = Machine(MachineConfiguration(2 << 20))
        self.cpu: Cpu = self.machine.cpu
        self.ram = self.cpu.ram
        self._map()
        for selector, content in (_DESCRIPTORS | self.descriptors).items():
            self.ram.write(GDT + selector, content)
        self._load_registers()
        self._rules = segmentation_rules(self.cpu, OperandMemory(self.cpu))
        if self.mode.long:
            self.ram.write(TSS + 4, struct.pack("<QQQ", KERNEL_STACK, KERNEL_STACK, KERNEL_STACK))
        else:
            self.ram.write(TSS + 4, struct.pack("<IIII", KERNEL_STACK, DATA_0, KERNEL_STACK, DATA_1 | 1))

    def _map(self) -> None:
        """Map the first MiB; the tables above the last one grant all rights."""
        tables, pages = _TABLES, _PAGES
        present = 0x27 | 0x40
        if self.mode.long:
            for level in range(3):
                self.ram.write(tables + 0x1000 * level, struct.pack("<Q", tables + 0x1000 * (level + 1) | present))
            last, width = tables + 0x3000, 8
        else:
            self.ram.write(tables, struct.pack("<I", tables + 0x1000 | present))
            last, width = tables + 0x1000, 4
        for page in range(pages):
            self.ram.write(last + width * page, (page << 12 | self._rights(page << 12)).to_bytes(width, "little"))

    @staticmethod
    def _rights(page: int) -> int:
        if page == ABSENT:
            return 0
        if page == READ_ONLY:
            return 0x65
        return 0x67 if page >= 0x2_0000 else 0x63

    def _load_registers(self) -> None:
        registers = self.cpu.registers
        registers.cr[0], registers.cr[3] = _PE | _WP | _PG, _TABLES
        registers.cr[4], registers.efer, registers.hflags = 0, 0, _HFLAG_PE
        if self.mode.long:
            registers.cr[4], registers.efer = 0x620, _LMA | _NXE
            registers.hflags |= _HFLAG_LMA
        user = self.ring == 3
        code = (CODE_64_USER if user else CODE_64) if self.mode is Mode.LONG else CODE_32_USER if user else CODE_32
        for name, selector in (("cs", code), *((n, DATA_3 if user else DATA_0) for n in ("ss", "ds", "es"))):
            self.load(name, selector | self.ring)
        registers.fs.load(0, 0, 0, 0)
        registers.gs.load(0, 0, 0, 0)
        registers.gdtr.load(0, GDT, 0xFF, 0)
        registers.ldtr.load(0, 0, 0, 0)
        registers.tr.load(TASK, TSS, 0x67, 0x8900)
        self.cpu.set_privilege(self.ring)
        registers.rip = CODE
        registers.rsp = USER_STACK if user else KERNEL_STACK
        self.cpu.rflags = 2
        self.cpu.memory.flush()
        assert self.cpu.memory.mode is (PagingMode.FOUR_LEVEL if self.mode.long else PagingMode.TWO_LEVEL)

    def load(self, name: str, selector: int) -> None:
        """Load a segment register without checks."""
        found = segment(self.ram.read(GDT + (selector & ~7), 8))
        getattr(self.cpu.registers, name).load(selector, found.base, found.limit, found.flags)

    def push(self, *words: int, size: int = 8) -> None:
        """Push words on the current stack, whatever its rights."""
        for word in words:
            self.cpu.registers.rsp -= size
            self.ram.write(self.cpu.registers.rsp, (word & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def words(self, count: int, size: int = 8) -> tuple[int, ...]:
        """The words on the stack, from the top on."""
        content = self.ram.read(self.cpu.registers.rsp, count * size)
        return tuple(int.from_bytes(content[at : at + size], "little") for at in range(0, count * size, size))

    def execute(self, code: str) -> None:
        """Execute an instruction, given in hexadecimal. Raises Fault."""
        registers = self.cpu.registers
        instruction = decode(
            bytes.fromhex(code), long=registers.in_64_bit_code, wide=bool(registers.cs.flags & 1 << 22)
        )
        assert instruction is not None
        assert instruction.length == len(bytes.fromhex(code))
        assert self._rules[instruction.opcode](instruction) is Done.COMPLETE

    def fault(self, code: str) -> tuple[int, int | None] | None:
        """Vector and error code of an instruction's fault, which must have changed nothing; None if there is none."""
        before = self.state
        try:
            self.execute(code)
        except TaskFault:
            raise
        except Fault as fault:
            assert self.state == before
            return fault.vector, fault.error_code
        return None

    @property
    def state(self) -> object:
        """Registers and memory."""
        return self.cpu.context.content, self.cpu.rflags, self.cpu.hook.retired, bytes(self.ram.view)
