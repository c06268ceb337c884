"""The processor state left by a Multiboot loader, otherwise as after a reset (SDM volume 3, table 10-1)."""

from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.processor.cpu import Cpu
from machine.processor.flat_mode import load_flat_mode
from machine.processor.step_hook import NEVER

_TASK_32, _LDT = 0x0000_8900, 0x0000_8200  # the manual says busy, but then Unicorn aborts when it needs a stack
_FLOATING_POINT_AT_RESET = {"MXCSR": 0x1F80, "FPCW": 0x37F, "FPSW": 0, "FPTAG": 0xFFFF}
"""The x87 state after FNINIT: all exceptions masked, all registers empty."""


def enter_flat_mode(cpu: Cpu, entry: int) -> None:
    """Make the processor start at `entry`, with interrupts disabled and all other registers as after a reset."""
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
    cpu.engine.paging.flush_tlb()
