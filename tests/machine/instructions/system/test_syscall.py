"""SYSCALL, SYSRET, SYSENTER and SYSEXIT (SDM volume 2): targets and faults."""

import pytest

from machine.architecture.decoding import decode
from machine.architecture.exceptions import GP, UD, Fault
from machine.instructions.system.msrs import (
    EFER_SCE,
    IA32_FMASK,
    IA32_LSTAR,
    IA32_STAR,
    IA32_SYSENTER_CS,
    IA32_SYSENTER_EIP,
    IA32_SYSENTER_ESP,
)
from machine.instructions.system.syscall import FastSystemCalls
from tests.machine.instructions.processor import CODE, Mode, Processor

SYSCALL, SYSRET, SYSENTER, SYSEXIT = "0f05", "0f07", "0f34", "0f35"
NOT_CANONICAL = 1 << 47
TARGET, STACK = 0x1234_5678_9ABC, 0x7654_3210_FED0
LOW = 0xFFFF_FFFF
FLAT, DPL_3, LONG, DEFAULT_32, CODE_TYPE, DATA_TYPE = 0x0080_9000, 3 << 13, 1 << 21, 1 << 22, 0xB00, 0x300


def ready(mode: Mode = Mode.LONG, ring: int = 0, selector: int = 0x28, **registers: int) -> Processor:
    """A processor with all MSRs set, and SYSCALL enabled."""
    processor = Processor(mode, ring)
    if mode.long:
        processor.cpu.registers.efer |= EFER_SCE
    values = {
        IA32_STAR: 0x48 << 48 | 0x08 << 32,
        IA32_LSTAR: TARGET,
        IA32_FMASK: 0x200,
        IA32_SYSENTER_CS: selector,
        IA32_SYSENTER_ESP: STACK,
        IA32_SYSENTER_EIP: TARGET,
    }
    for number, value in values.items():
        processor.machine.msrs.write(number, value)
    for name, value in registers.items():
        setattr(processor.cpu.registers, name, value)
    return processor


def execute(processor: Processor, code: str) -> None:
    registers = processor.cpu.registers
    instruction = decode(bytes.fromhex(code), long=registers.in_64_bit_code, wide=bool(registers.cs.flags & 1 << 22))
    assert instruction is not None
    calls = FastSystemCalls(processor.cpu, processor.machine.msrs)
    {0x0F05: calls.syscall, 0x0F07: calls.sysret, 0x0F34: calls.sysenter, 0x0F35: calls.sysexit}[instruction.opcode](
        instruction
    )


def refused(processor: Processor, code: str) -> tuple[int, int | None]:
    """Vector and error code of the fault, which has changed nothing."""
    before = processor.state
    with pytest.raises(Fault) as raised:
        execute(processor, code)
    assert processor.state == before
    return raised.value.vector, raised.value.error_code


def segments(processor: Processor) -> list[tuple[int, int, int, int]]:
    registers = processor.cpu.registers
    return [(each.selector, each.base, each.limit, each.flags) for each in (registers.cs, registers.ss)]


def flat(selector: int, ring: int, code: int) -> list[tuple[int, int, int, int]]:
    """CS with a kind of code, then SS, both of 4 GiB."""
    level = DPL_3 if ring else 0
    return [
        (selector | ring, 0, LOW, FLAT | CODE_TYPE | level | code | 0xF_0000),
        (selector + 8 | ring, 0, LOW, FLAT | DATA_TYPE | level | DEFAULT_32 | 0xF_0000),
    ]


@pytest.mark.parametrize("code", [SYSCALL, SYSRET])
def test_syscall_and_sysret_are_undefined_unless_enabled_in_64_bit_mode(code: str) -> None:
    disabled = ready()
    disabled.cpu.registers.efer &= ~EFER_SCE
    assert refused(disabled, code) == (UD, None)
    for mode in (Mode.COMPATIBILITY, Mode.PROTECTED):
        assert refused(ready(mode), code) == (UD, None)


def test_the_selector_in_the_msr_is_of_32_bits() -> None:
    msrs = ready().machine.msrs
    msrs.write(IA32_SYSENTER_CS, 0xFFFF_FFFF)
    assert msrs.read(IA32_SYSENTER_CS) == 0xFFFF_FFFF
    with pytest.raises(Fault):
        msrs.write(IA32_SYSENTER_CS, 1 << 32)


@pytest.mark.parametrize("mode", Mode)
def test_selectors_have_16_bits(mode: Mode) -> None:
    """Those computed from the upper bits of IA32_SYSENTER_CS, or beyond the last selector."""
    for selector, wanted in ((0x1_0008, (0x1B, 0x23)), (0xFFE8, (0xFFFB, 0x3))):
        processor = ready(mode, selector=selector)
        execute(processor, SYSEXIT)
        registers = processor.cpu.registers
        assert (registers.cs.selector, registers.ss.selector) == wanted


@pytest.mark.parametrize("code", [SYSRET, "480f07", SYSEXIT, "480f35"])
def test_only_ring_0_returns(code: str) -> None:
    assert refused(ready(ring=3), code) == (GP, 0)


@pytest.mark.parametrize(("code", "register"), [("480f07", "rcx"), ("480f35", "rcx"), ("480f35", "rdx")])
def test_a_return_of_64_bits_to_nowhere_is_refused(code: str, register: str) -> None:
    processor = ready()
    setattr(processor.cpu.registers, register, NOT_CANONICAL)
    assert refused(processor, code) == (GP, 0)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", [SYSENTER, SYSEXIT])
def test_a_null_selector_in_the_msr_is_refused(code: str, mode: Mode) -> None:
    for null in (0, 1, 3, 0x1_0003):
        assert refused(ready(mode, selector=null), code) == (GP, 0)


def test_outside_protected_mode_there_is_no_sysenter() -> None:
    for code in (SYSENTER, SYSEXIT):
        processor = ready(Mode.PROTECTED)
        processor.cpu.registers.cr[0] = 0
        assert refused(processor, code) == (GP, 0)


def test_syscall_keeps_the_return_address_and_the_flags_and_clears_what_the_mask_says() -> None:
    processor = ready(ring=3)
    processor.cpu.rflags = 0x1_0A02
    execute(processor, SYSCALL)
    registers = processor.cpu.registers
    assert (registers.rip, registers.rcx, registers.r11) == (TARGET, CODE + 2, 0xA02)
    assert (processor.cpu.rflags, registers.cpl) == (0x802, 0)
    assert segments(processor) == flat(0x08, 0, LONG)


@pytest.mark.parametrize("wide", [True, False])
def test_sysret_goes_to_64_bit_code_or_to_compatibility_mode(wide: bool) -> None:
    """The 32-bit form uses half of RCX, whatever the rest, and another selector."""
    processor = ready(rcx=TARGET if wide else NOT_CANONICAL | 0x1_2345_6789, r11=2**64 - 1)
    execute(processor, "480f07" if wide else SYSRET)
    assert processor.cpu.registers.rip == (TARGET if wide else 0x2345_6789)
    assert processor.cpu.rflags == 0x3C_7FD7
    assert processor.cpu.registers.cpl == 3
    code, stack = segments(processor)
    assert code == flat(0x58 if wide else 0x48, 3, LONG if wide else DEFAULT_32)[0]
    assert stack == flat(0x48, 3, 0)[1]


@pytest.mark.parametrize("mode", Mode)
def test_sysenter_goes_to_the_code_of_the_mode(mode: Mode) -> None:
    """In IA-32e mode that is 64-bit code; elsewhere the upper halves of the MSRs have no effect."""
    processor = ready(mode, ring=3, selector=0x2B)
    processor.cpu.rflags = 0x1_0A02
    execute(processor, SYSENTER)
    mask = 2**64 - 1 if mode.long else LOW
    registers = processor.cpu.registers
    assert (registers.rip, registers.rsp, registers.cpl) == (TARGET & mask, STACK & mask, 0)
    assert processor.cpu.rflags == 0x802
    assert segments(processor) == flat(0x28, 0, LONG if mode.long else DEFAULT_32)


@pytest.mark.parametrize(("mode", "wide"), [(Mode.LONG, True), (Mode.LONG, False), (Mode.PROTECTED, False)])
def test_sysexit_goes_to_64_bit_code_or_to_32_bit_code(mode: Mode, wide: bool) -> None:
    processor = ready(mode, rcx=STACK if wide else 1 << 63 | 0x1111, rdx=TARGET if wide else 1 << 63 | 0x2222)
    execute(processor, "480f35" if wide else SYSEXIT)
    registers = processor.cpu.registers
    assert (registers.rip, registers.rsp) == ((TARGET, STACK) if wide else (0x2222, 0x1111))
    assert registers.cpl == 3
    assert segments(processor) == flat(0x28 + (32 if wide else 16), 3, LONG if wide else DEFAULT_32)
