"""The model-specific registers (SDM volume 4, table 2-2), and checks of values written to them.

Reading or writing any other is #GP. Unicorn has those used by its own instructions; the others are kept here.
"""

from collections.abc import Callable
from typing import Protocol

from machine.architecture.control_registers import CR0_PG
from machine.architecture.cpuid import FAST_STRINGS, LIMIT_LEAVES, NO_EXECUTE_DISABLE, Switches
from machine.architecture.exceptions import GP, Fault
from machine.architecture.paging import PHYSICAL_ADDRESS_BITS, is_canonical
from machine.processor.cpu import EFER_LMA, Cpu
from machine.state import Stateful

IA32_P5_MC_ADDR, IA32_P5_MC_TYPE, IA32_TSC, IA32_PLATFORM_ID, IA32_APIC_BASE = 0x0, 0x1, 0x10, 0x17, 0x1B
IA32_BIOS_UPDT_TRIG, IA32_BIOS_SIGN_ID, MSR_PLATFORM_INFO, IA32_DEBUGCTL = 0x79, 0x8B, 0xCE, 0x1D9
IA32_SYSENTER_CS, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP = 0x174, 0x175, 0x176
IA32_MISC_ENABLE, IA32_PAT, IA32_TSC_DEADLINE = 0x1A0, 0x277, 0x6E0
IA32_EFER, IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_FMASK = range(0xC000_0080, 0xC000_0085)
IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE, IA32_TSC_AUX = range(0xC000_0100, 0xC000_0104)

EFER_SCE, EFER_LME, EFER_NXE = 1, 1 << 8, 1 << 11
_BRANCH_TRACE_UNAVAILABLE, _EVENT_SAMPLING_UNAVAILABLE = 1 << 11, 1 << 12
_MISC_ENABLE_FIXED = _BRANCH_TRACE_UNAVAILABLE | _EVENT_SAMPLING_UNAVAILABLE
_MISC_ENABLE_WRITABLE = FAST_STRINGS | LIMIT_LEAVES | NO_EXECUTE_DISABLE
_RATIO_TO_100_MHZ = 10 << 8
_APIC_ENABLED = 1 << 11
_MEMORY_TYPES = frozenset([0, 1, 4, 5, 6, 7])  # UC, WC, WT, WP, WB, UC-
_APIC_BASE_RESERVED = 0x2FF | 1 << 10 | -(1 << PHYSICAL_ADDRESS_BITS)
_APIC_ADDRESS = 0xFEE0_0000


class Apic(Protocol):
    """The part of the local APIC used by IA32_APIC_BASE and IA32_TSC_DEADLINE."""

    @property
    def apic_base(self) -> int:
        """Its base address, with the enable bit (11) and the bootstrap processor bit (8)."""

    @apic_base.setter
    def apic_base(self, value: int) -> None: ...

    def read_tsc_deadline(self) -> int:
        """Return the deadline: virtual time in ns, or 0 for none."""

    def write_tsc_deadline(self, value: int) -> None:
        """Arm the timer for the virtual time `value` in ns; 0 disarms it."""


class Msrs(Stateful):
    """The registers by number."""

    STATE = ("_kept",)
    WIRING = ("_cpu", "apic", "_checks", "_reads", "_writes")

    def __init__(self, cpu: Cpu, apic: Apic) -> None:
        self._cpu = cpu
        self.apic = apic
        self._kept = {
            IA32_SYSENTER_CS: 0,
            IA32_SYSENTER_ESP: 0,
            IA32_SYSENTER_EIP: 0,
            IA32_MISC_ENABLE: FAST_STRINGS | _MISC_ENABLE_FIXED,
            IA32_PAT: 0x0007_0406_0007_0406,
            IA32_STAR: 0,
            IA32_LSTAR: 0,
            IA32_CSTAR: 0,
            IA32_FMASK: 0,
        }
        self._checks: dict[int, Callable[[int], bool]] = {
            IA32_SYSENTER_CS: lambda value: value >> 32 == 0,
            IA32_SYSENTER_ESP: is_canonical,
            IA32_SYSENTER_EIP: is_canonical,
            IA32_MISC_ENABLE: lambda value: value & ~_MISC_ENABLE_WRITABLE == _MISC_ENABLE_FIXED,
            IA32_PAT: lambda value: all(byte in _MEMORY_TYPES for byte in value.to_bytes(8, "little")),
            IA32_LSTAR: is_canonical,
            IA32_CSTAR: is_canonical,
            IA32_FMASK: lambda value: value >> 32 == 0,
        }
        cpu.cpuid_switches = self._cpuid_switches
        registers = cpu.registers
        self._reads: dict[int, Callable[[], int]] = {
            IA32_TSC: lambda: cpu.time_stamp_counter.value,
            IA32_APIC_BASE: lambda: self.apic.apic_base,
            IA32_P5_MC_ADDR: lambda: 0,
            IA32_P5_MC_TYPE: lambda: 0,
            IA32_PLATFORM_ID: lambda: 0,
            IA32_BIOS_SIGN_ID: lambda: 0,
            MSR_PLATFORM_INFO: lambda: _RATIO_TO_100_MHZ,
            IA32_DEBUGCTL: lambda: 0,
            IA32_TSC_DEADLINE: self.apic.read_tsc_deadline,
            IA32_EFER: lambda: registers.efer,
            IA32_FS_BASE: lambda: registers.fs.base,
            IA32_GS_BASE: lambda: registers.gs.base,
            IA32_KERNEL_GS_BASE: lambda: cpu.read_msr(IA32_KERNEL_GS_BASE),
            IA32_TSC_AUX: lambda: cpu.time_stamp_counter.aux,
        }
        self._writes: dict[int, Callable[[int], None]] = {
            IA32_TSC: self._write_tsc,
            IA32_APIC_BASE: self._write_apic_base,
            IA32_BIOS_UPDT_TRIG: lambda _value: None,
            IA32_BIOS_SIGN_ID: lambda _value: None,
            IA32_DEBUGCTL: _no_tracing,
            IA32_TSC_DEADLINE: self.apic.write_tsc_deadline,
            IA32_EFER: self._write_efer,
            IA32_FS_BASE: lambda value: setattr(registers.fs, "base", _canonical(value)),
            IA32_GS_BASE: lambda value: setattr(registers.gs, "base", _canonical(value)),
            IA32_KERNEL_GS_BASE: lambda value: cpu.write_msr(IA32_KERNEL_GS_BASE, _canonical(value)),
            IA32_TSC_AUX: self._write_tsc_aux,
        }

    def _cpuid_switches(self) -> Switches:
        return Switches(bool(self.apic.apic_base & _APIC_ENABLED), self._kept[IA32_MISC_ENABLE])

    @property
    def kept(self) -> dict[int, int]:
        """A copy of the registers kept here, by number."""
        return self._kept.copy()

    def read(self, number: int) -> int:
        """Return a register, as RDMSR does. Raises Fault: #GP(0) if it does not exist."""
        if number in self._kept:
            return self._kept[number]
        if number not in self._reads:
            raise Fault(GP, 0)
        return self._reads[number]()

    def write(self, number: int, value: int) -> None:
        """Write a register, as WRMSR does. Raises Fault: #GP(0) for a nonexistent register or an invalid value."""
        if number in self._kept:
            if number in self._checks and not self._checks[number](value):
                raise Fault(GP, 0)
            self._kept[number] = value
            return
        if number not in self._writes:
            raise Fault(GP, 0)
        self._writes[number](value)

    def _write_tsc(self, value: int) -> None:
        self._cpu.time_stamp_counter.value = value

    def _write_tsc_aux(self, value: int) -> None:
        if value >> 32:
            raise Fault(GP, 0)
        self._cpu.time_stamp_counter.aux = value

    def _write_apic_base(self, value: int) -> None:
        """Enable or disable the APIC. As in QEMU it cannot be moved; there is no x2APIC mode."""
        if value & _APIC_BASE_RESERVED or value & 0xFF_FFFF_F000 != _APIC_ADDRESS:
            raise Fault(GP, 0)
        self.apic.apic_base = value

    def _write_efer(self, value: int) -> None:
        """Write IA32_EFER (SDM volume 3, 2.2.1); LMA is read-only and follows LME when paging is turned on."""
        registers = self._cpu.registers
        no_execute = 0 if self._kept[IA32_MISC_ENABLE] & NO_EXECUTE_DISABLE else EFER_NXE
        if value & ~(EFER_SCE | EFER_LME | EFER_LMA | no_execute):
            raise Fault(GP, 0)
        if (value ^ registers.efer) & EFER_LME and registers.cr[0] & CR0_PG:
            raise Fault(GP, 0)
        registers.efer = value & ~EFER_LMA | registers.efer & EFER_LMA
        self._cpu.engine.paging.flush_tlb()


def _no_tracing(value: int) -> None:
    """Refuse any bit of IA32_DEBUGCTL: branch records and branch traces are not implemented."""
    if value:
        raise Fault(GP, 0)


def _canonical(value: int) -> int:
    if not is_canonical(value):
        raise Fault(GP, 0)
    return value
