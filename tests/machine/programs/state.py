"""The state of a stopped processor by manual names."""

from machine.architecture.processor_state import SEGMENT_REGISTERS
from machine.processor.cpu import Cpu
from tests.machine.programs.program import GENERAL


def read_state(cpu: Cpu) -> dict[str, int]:
    """All but x87 and SSE."""
    registers = cpu.registers
    state = {name: int(getattr(registers, name.lower())) for name in GENERAL}
    state |= {"RIP": registers.rip, "RFLAGS": cpu.rflags, "CPL": registers.cpl}
    state |= {name.upper(): int(getattr(registers, name).selector) for name in SEGMENT_REGISTERS}
    state |= {"FS_BASE": registers.fs.base, "GS_BASE": registers.gs.base}
    state |= {"KERNEL_GS_BASE": cpu.context.kernel_gs_base, "EFER": registers.efer}
    state |= {f"CR{number}": registers.cr[number] for number in (0, 2, 4)} | {"CR3": registers.cr3}
    state |= {"GDTR": registers.gdtr.base, "GDTR_LIMIT": registers.gdtr.limit}
    state |= {"IDTR": registers.idtr.base, "IDTR_LIMIT": registers.idtr.limit}
    state |= {"LDTR": registers.ldtr.selector, "TR": registers.tr.selector}
    return state | {f"DR{number}": cpu.debug.read(number) for number in (0, 1, 2, 3, 6, 7)}
