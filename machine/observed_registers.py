"""The registers whose changes are recorded: the control registers, EFER, DR7, and those of descriptor tables."""

from machine.cpu import Cpu
from machine.events import DescriptorTableLoaded, RegisterWritten
from machine.journal import Journal

_TABLES = ("gdtr", "idtr", "ldtr", "tr")
Value = int | tuple[int, int, int]
"""Of a table register: selector, base, limit."""


class ObservedRegisters:
    """Looked at before and after each instruction that may write one of them."""

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal

    def values(self) -> dict[str, Value]:
        """All of them, by their manual names, in the order in which changes are recorded."""
        registers, debug = self._cpu.registers, self._cpu.debug
        cr = registers.cr
        found: dict[str, Value] = {"CR0": cr[0], "CR3": cr[3], "CR4": cr[4], "EFER": registers.efer, "DR7": debug.dr7}
        for name in _TABLES:
            register = getattr(registers, name)
            found[name.upper()] = (register.selector, register.base, register.limit)
        return found

    def raw(self) -> tuple[bytes, int]:
        """All of them as bytes: to be compared only."""
        return self._cpu.registers.system_registers, self._cpu.debug.dr7

    def record_changes(self, before: dict[str, Value], rip: int) -> None:
        """Record what the instruction at `rip` changed since `before`."""
        for name, value in self.values().items():
            previous = before[name]
            if value == previous:
                continue
            if isinstance(value, tuple):
                self._journal.emit(DescriptorTableLoaded, name, *value, rip)
            else:
                self._journal.emit(RegisterWritten, name, previous, value, rip)
