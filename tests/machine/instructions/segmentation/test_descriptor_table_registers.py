"""LGDT and LIDT (SDM volume 2): the loaded part of the operand, and faults."""

import pytest

from machine.architecture.decoding import decode
from machine.architecture.exceptions import GP, PF, Fault
from machine.instructions.memory import OperandMemory
from machine.instructions.segmentation.descriptor_table_registers import DescriptorTableRegisters
from tests.machine.instructions.processor import ABSENT, CODE, CODE_16, DATA, Mode, Processor

LGDT, LIDT = "0f0113", "0f011b"  # at EBX; in 16-bit code at BP + DI
BASE, LIMIT = 0x1234_5678_9ABC_DEF0 & 0x7FFF_FFFF_FFFF, 0xFEDC


def execute(processor: Processor, code: str, address: int = DATA) -> None:
    registers = processor.cpu.registers
    registers.rbx = address
    registers.rbp, registers.rdi = address - 8, 8
    wide = bool(registers.cs.flags & 1 << 22)
    instruction = decode(bytes.fromhex(code), long=registers.in_64_bit_code, wide=wide)
    assert instruction is not None
    DescriptorTableRegisters(processor.cpu, OperandMemory(processor.cpu)).load(instruction)


def operand(processor: Processor, base: int, address: int = DATA) -> None:
    processor.ram.write(address, LIMIT.to_bytes(2, "little") + base.to_bytes(8, "little"))


@pytest.mark.parametrize(("code", "name"), [(LGDT, "gdtr"), (LIDT, "idtr")])
@pytest.mark.parametrize(
    ("mode", "prefix", "kept"),
    [
        (Mode.LONG, "", 2**64 - 1),
        (Mode.LONG, "66", 2**64 - 1),  # there the operand size has no effect
        (Mode.COMPATIBILITY, "", 0xFFFF_FFFF),
        (Mode.PROTECTED, "", 0xFFFF_FFFF),
        (Mode.PROTECTED, "66", 0xFF_FFFF),
    ],
)
def test_the_base_has_the_width_of_the_operand(mode: Mode, prefix: str, kept: int, code: str, name: str) -> None:
    processor = Processor(mode)
    operand(processor, BASE)
    others = [name_of for name_of in ("gdtr", "idtr") if name_of != name]
    before = [
        (getattr(processor.cpu.registers, one).base, getattr(processor.cpu.registers, one).limit) for one in others
    ]
    execute(processor, prefix + code)
    registers = processor.cpu.registers
    loaded = getattr(registers, name)
    assert (loaded.base, loaded.limit) == (BASE & kept, LIMIT)
    assert [(getattr(registers, one).base, getattr(registers, one).limit) for one in others] == before
    assert registers.rip == CODE + len(bytes.fromhex(prefix + code))


@pytest.mark.parametrize(("prefix", "kept"), [("", 0xFF_FFFF), ("66", 0xFFFF_FFFF)])
def test_in_16_bit_code_the_prefix_makes_the_base_wide(prefix: str, kept: int) -> None:
    processor = Processor(Mode.PROTECTED)
    processor.load("cs", CODE_16)
    operand(processor, BASE, 0x9000)
    execute(processor, prefix + LGDT, 0x9000)
    assert processor.cpu.registers.gdtr.base == BASE & kept


@pytest.mark.parametrize("code", [LGDT, LIDT])
def test_what_is_refused_loads_nothing(code: str) -> None:
    cases = [
        (Processor(Mode.LONG, 3), 0, DATA, (GP, 0)),
        (Processor(Mode.PROTECTED, 3), 0, DATA, (GP, 0)),
        (Processor(Mode.LONG), 1 << 47, DATA, (GP, 0)),
        (Processor(Mode.LONG), 0, ABSENT, (PF, 0)),
        (Processor(Mode.PROTECTED), 0, ABSENT, (PF, 0)),
    ]
    for processor, base, address, answer in cases:
        operand(processor, base, address)
        registers = processor.cpu.registers
        before = [(each.base, each.limit) for each in (registers.gdtr, registers.idtr)]
        with pytest.raises(Fault) as raised:
            execute(processor, code, address)
        assert (raised.value.vector, raised.value.error_code) == answer
        assert [(each.base, each.limit) for each in (registers.gdtr, registers.idtr)] == before
