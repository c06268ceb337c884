"""The registers whose changes are recorded: the control registers, EFER, DR7, and those of descriptor tables."""

from machine.architecture.processor_state import SystemRegisters
from machine.events import DescriptorTableLoaded, RegisterWritten
from machine.journal import Journal
from machine.processor.cpu import Cpu

_TABLES = ("gdtr", "idtr", "ldtr", "tr")
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
        (old, old_tables), (new, new_tables) = _values(before), _values(self.look())
        for name, value in new.items():
            if value != old[name]:
                self._journal.emit(RegisterWritten, name, old[name], value, rip)
        for name, (selector, base, limit) in new_tables.items():
            if (selector, base, limit) != old_tables[name]:
                self._journal.emit(DescriptorTableLoaded, name, selector, base, limit, rip)


def _values(seen: Seen) -> tuple[dict[str, int], dict[str, tuple[int, int, int]]]:
    """Return the registers by their manual names, and the table registers: selector, base and limit of each."""
    raw, dr7 = seen
    registers = SystemRegisters.from_buffer_copy(raw)
    cr = registers.cr
    values: dict[str, int] = {"CR0": cr[0], "CR3": cr[3], "CR4": cr[4], "EFER": registers.efer, "DR7": dr7}
    tables = {}
    for name in _TABLES:
        register = getattr(registers, name)
        tables[name.upper()] = (register.selector, register.base, register.limit)
    return values, tables
