"""32-bit protected mode with flat segments and without paging: where a Multiboot loader leaves the processor."""

from typing import TYPE_CHECKING

from machine.architecture.control_registers import CR0_ET, CR0_PE
from machine.architecture.processor_state import GENERAL_REGISTERS, ProcessorState
from machine.processor.step_hook import NEVER

if TYPE_CHECKING:
    from machine.processor.cpu import Cpu

_HFLAG_PE = 1 << 7
_FLAT_CODE_32, _FLAT_DATA_32 = 0x00CF_9B00, 0x00CF_9300
_TASK_32, _LDT = 0x0000_8900, 0x0000_8200  # busy by the manual, but Unicorn aborts when it then needs a stack
_FLOATING_POINT_AT_RESET = {"MXCSR": 0x1F80, "FPCW": 0x37F, "FPSW": 0, "FPTAG": 0xFFFF}
"""As FNINIT leaves x87: all exceptions masked, all registers empty."""


def load_flat_mode(registers: ProcessorState) -> None:
    """Set the mode and its segments, in ring 0, and nothing else."""
    registers.cs.load(0x08, 0, 0xFFFF_FFFF, _FLAT_CODE_32)
    for segment in (registers.ds, registers.es, registers.ss, registers.fs, registers.gs):
        segment.load(0x10, 0, 0xFFFF_FFFF, _FLAT_DATA_32)
    registers.cr[0], registers.cr[2], registers.cr[3], registers.cr[4] = CR0_PE | CR0_ET, 0, 0, 0
    registers.efer = 0
    registers.hflags = _HFLAG_PE
    registers.follow_segments(0)


def enter_flat_mode(cpu: "Cpu", entry: int) -> None:
    """Let the processor start at `entry`, with interrupts off and all other registers as after a reset."""
    registers, hook = cpu.registers, cpu.hook
    for name in GENERAL_REGISTERS:
        setattr(registers, name, 0)
    load_flat_mode(registers)
    registers.tr.load(0, 0, 0xFFFF, _TASK_32)
    registers.ldtr.load(0, 0, 0xFFFF, _LDT)
    registers.gdtr.load(0, 0, 0, 0)
    registers.idtr.load(0, 0, 0, 0)
    registers.rip = entry
    cpu.rflags = 2
    hook.pass_once = hook.pass_watched = NEVER
    for name, value in _FLOATING_POINT_AT_RESET.items():
        cpu.write_register(name, value)
    cpu.flush_tlb()
