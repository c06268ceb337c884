"""The registers whose changes are recorded: the control registers, EFER, DR7, and those of descriptor tables."""

from machine.cpu import Cpu
from machine.events import DescriptorTableLoaded, RegisterWritten
from machine.journal import Journal
from machine.processor_state import SystemRegisters

_TABLES = ("gdtr", "idtr", "ldtr", "tr")
Value = int | tuple[int, int, int]
"""Of a table register: selector, base, limit."""
Seen = tuple[bytes, int]
"""All of them at one time."""


class ObservedRegisters:
    """Looked at before and after each instruction that may write one of them."""

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal

    def look(self) -> Seen:
        """All of them as they are now; to be compared, and handed to `record_changes`."""
        cpu = self._cpu
        return cpu.registers.system_registers, cpu.debug.dr7

    def record_changes(self, before: Seen, rip: int) -> None:
        """Record what the instruction at `rip` changed since `before`, in the order in which changes are recorded."""
        previous = _values(before)
        for name, value in _values(self.look()).items():
            if value == previous[name]:
                continue
            if isinstance(value, tuple):
                self._journal.emit(DescriptorTableLoaded, name, *value, rip)
            else:
                self._journal.emit(RegisterWritten, name, previous[name], value, rip)


def _values(seen: Seen) -> dict[str, Value]:
    """By their manual names."""
    raw, dr7 = seen
    registers = SystemRegisters.from_buffer_copy(raw)
    cr = registers.cr
    found: dict[str, Value] = {"CR0": cr[0], "CR3": cr[3], "CR4": cr[4], "EFER": registers.efer, "DR7": dr7}
    for name in _TABLES:
        register = getattr(registers, name)
        found[name.upper()] = (register.selector, register.base, register.limit)
    return found
