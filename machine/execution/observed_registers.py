"""The registers whose changes are recorded: control registers, EFER, DR7 and the descriptor-table registers."""

from machine.architecture.processor_state import SystemRegisters
from machine.events import DescriptorTableLoaded, RegisterWritten
from machine.journal import Journal
from machine.processor.cpu import Cpu

_TABLES = ("gdtr", "idtr", "ldtr", "tr")
Seen = tuple[bytes, int]
"""The values of all of them at one moment."""


class ObservedRegisters:
    """Finds changes: `Execution` takes the values before and after each instruction that may change one."""

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal

    def look(self) -> Seen:
        """Return the current values, for comparison and for `record_changes`."""
        cpu = self._cpu
        return cpu.registers.system_registers, cpu.debug.dr7

    def record_changes(self, before: Seen, rip: int) -> None:
        """Record the changes made by the instruction at `rip` since `before`: registers first, then tables."""
        (old, old_tables), (new, new_tables) = _values(before), _values(self.look())
        for name, value in new.items():
            if value != old[name]:
                self._journal.emit(RegisterWritten, name, old[name], value, rip)
        for name, (selector, base, limit) in new_tables.items():
            if (selector, base, limit) != old_tables[name]:
                self._journal.emit(DescriptorTableLoaded, name, selector, base, limit, rip)


def _values(seen: Seen) -> tuple[dict[str, int], dict[str, tuple[int, int, int]]]:
    """Return the registers by the manual's names, and selector, base and limit of the table registers."""
    raw, dr7 = seen
    registers = SystemRegisters.from_buffer_copy(raw)
    cr = registers.cr
    values: dict[str, int] = {"CR0": cr[0], "CR3": registers.cr3, "CR4": cr[4], "EFER": registers.efer, "DR7": dr7}
    tables = {}
    for name in _TABLES:
        register = getattr(registers, name)
        tables[name.upper()] = (register.selector, register.base, register.limit)
    return values, tables
