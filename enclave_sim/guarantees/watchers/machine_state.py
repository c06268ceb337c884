"""The state of a machine in named parts, for comparison between runs."""

from dataclasses import dataclass
from typing import Any

from enclave_sim.enclave.devices.mailbox import Mailbox
from enclave_sim.memory_map import region_at
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from machine.instructions.system.msrs import IA32_APIC_BASE, IA32_TSC_AUX
from machine.machine import Machine

_REGISTERS = (
    *("RIP", "RFLAGS", "CS", "SS", "DS", "ES", "FS", "GS", "CR0", "CR2", "CR3", "CR4", "EFER"),
    *("DR0", "DR1", "DR2", "DR3", "DR6", "DR7", "MXCSR"),
)
"""By their names in the manual."""
_MSRS = {"TSC_AUX": IA32_TSC_AUX, "APIC_BASE": IA32_APIC_BASE}
_TABLES = ("GDTR", "IDTR", "LDTR", "TR")


@dataclass(frozen=True, slots=True)
class MachineState:
    """Registers by name, nonzero pages of RAM, and the state of each device."""

    at_ns: int
    registers: dict[str, Any]
    pages: dict[int, bytes]
    devices: dict[str, Any]

    @classmethod
    def of(cls, machine: Machine) -> "MachineState":
        """Return the state of a machine, which must be stopped."""
        cpu = machine.cpu
        registers: dict[str, Any] = {name.upper(): getattr(cpu.registers, name) for name in GENERAL_REGISTERS}
        registers |= {name: cpu.read_register(name) for name in _REGISTERS}
        registers |= {name: cpu.read_table_register(name) for name in _TABLES}
        registers |= {f"{name}.base": getattr(cpu.registers, name.lower()).base for name in ("FS", "GS")}
        registers |= {"XMM": cpu.context.vector_registers, "x87": cpu.context.x87}
        registers |= {name: machine.msrs.read(number) for name, number in _MSRS.items()}
        registers["KERNEL_GS_BASE"] = cpu.context.kernel_gs_base
        pages = {page: machine.ram.read(page, PAGE_SIZE) for page in machine.ram.nonzero_pages()}
        devices = {
            f"{type(device).__name__}.{name}": value
            for device in machine.bus.devices
            for name, value in device.save_state().items()
            if name not in device.PARTS or not isinstance(device, Mailbox)  # the VMM is not a device
        }
        return cls(machine.clock.now_ns, registers, pages, devices)

    def differences(self, other: "MachineState") -> list[str]:
        """Return the differences of two states, one line each. Time is not compared."""
        found = [
            f"register {name}: {_show(value)} and {_show(other.registers[name])}"
            for name, value in self.registers.items()
            if value != other.registers[name]
        ]
        blank = bytes(PAGE_SIZE)
        for page in sorted(self.pages.keys() | other.pages.keys()):
            first, second = self.pages.get(page, blank), other.pages.get(page, blank)
            if first != second:
                at = next(i for i in range(PAGE_SIZE) if first[i] != second[i])
                count = sum(a != b for a, b in zip(first, second, strict=True))
                where = region_at(page)
                name = where.name if where is not None else "unmapped"
                found.append(f"RAM, {name}: {count} bytes of page {page:#x} differ, the first at {page + at:#x}")
        found += [
            f"device {name}: {_short(repr(value))} and {_short(repr(other.devices.get(name)))}"
            for name, value in self.devices.items()
            if value != other.devices.get(name)
        ]
        return found


def _show(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:#x}"
    return _short(value.rstrip(b"\0").hex() if isinstance(value, bytes) else str(value))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
