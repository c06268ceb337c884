"""SYSCALL, SYSENTER and their returns (SDM volume 2; volume 3, 5.8.7 and 5.8.8), which do nothing in Unicorn.

Each raises the Fault of the manual, or loads CS and SS with fixed contents, without reading descriptors.
"""

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import GP, UD, Fault
from machine.architecture.paging import is_canonical
from machine.instructions.disposition import Done
from machine.instructions.system.msrs import (
    EFER_SCE,
    IA32_FMASK,
    IA32_LSTAR,
    IA32_STAR,
    IA32_SYSENTER_CS,
    IA32_SYSENTER_EIP,
    IA32_SYSENTER_ESP,
    Msrs,
)
from machine.processor.cpu import EFER_LMA, FLAG_IF, FLAG_RF, FLAG_VM, Cpu

_FLAT_CODE_64, _FLAT_CODE_32, _FLAT_DATA = 0x00AF_9B00, 0x00CF_9B00, 0x00CF_9300
_USER = 3 << 13
_SYSRET_FLAGS = 0x3C_7FD7
_LOW = 0xFFFF_FFFF


class FastSystemCalls:
    """Executes the instruction at RIP, one of the four."""

    def __init__(self, cpu: Cpu, msrs: Msrs) -> None:
        self._cpu = cpu
        self._msrs = msrs

    def syscall(self, instruction: Instruction) -> Done:
        """Execute SYSCALL: go to IA32_LSTAR in ring 0; RCX and R11 get RIP and RFLAGS. Raises Fault (#UD)."""
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.in_64_bit_code or not registers.efer & EFER_SCE:
            raise Fault(UD)
        cpu.skip(instruction.length)
        registers.rcx, registers.r11 = registers.rip, cpu.rflags & ~FLAG_RF
        registers.rip = self._msrs.read(IA32_LSTAR)
        cpu.rflags = cpu.rflags & ~self._msrs.read(IA32_FMASK) & ~FLAG_RF | 2
        self._load_flat(self._msrs.read(IA32_STAR) >> 32 & 0xFFFC, _FLAT_CODE_64, 0)
        cpu.set_privilege(0)
        return Done.TRANSFERRED

    def sysret(self, instruction: Instruction) -> Done:
        """Execute SYSRET: go to RCX in ring 3, with RFLAGS from R11. Raises Fault (#UD, #GP)."""
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.in_64_bit_code or not registers.efer & EFER_SCE:
            raise Fault(UD)
        if registers.cpl or (instruction.wide and not is_canonical(registers.rcx)):
            raise Fault(GP, 0)
        cpu.skip(instruction.length)
        selectors = self._msrs.read(IA32_STAR) >> 48
        cpu.rflags = registers.r11 & _SYSRET_FLAGS | 2
        if instruction.wide:
            registers.rip = registers.rcx
            registers.cs.load(selectors + 16 & 0xFFFF | 3, 0, _LOW, _FLAT_CODE_64 | _USER)
        else:
            registers.rip = registers.rcx & _LOW
            registers.cs.load(selectors | 3, 0, _LOW, _FLAT_CODE_32 | _USER)
        registers.ss.load(selectors + 8 & 0xFFFF | 3, 0, _LOW, _FLAT_DATA | _USER)
        cpu.set_privilege(3)
        return Done.TRANSFERRED

    def sysenter(self, instruction: Instruction) -> Done:
        """Execute SYSENTER: go to IA32_SYSENTER_EIP in ring 0. It saves nothing. Raises Fault (#UD, #GP)."""
        cpu, registers = self._cpu, self._cpu.registers
        selector = self._msrs.read(IA32_SYSENTER_CS)
        if not registers.cr[0] & CR0_PE or not selector & 0xFFFC:
            raise Fault(GP, 0)
        cpu.skip(instruction.length)
        long = bool(registers.efer & EFER_LMA)
        mask = 2**64 - 1 if long else _LOW
        registers.rsp = self._msrs.read(IA32_SYSENTER_ESP) & mask
        registers.rip = self._msrs.read(IA32_SYSENTER_EIP) & mask
        cpu.rflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF)
        self._load_flat(selector & 0xFFFC, _FLAT_CODE_64 if long else _FLAT_CODE_32, 0)
        cpu.set_privilege(0)
        return Done.COMPLETE

    def sysexit(self, instruction: Instruction) -> Done:
        """Execute SYSEXIT: go to RDX in ring 3, with the stack at RCX. Raises Fault (#UD, #GP)."""
        cpu, registers = self._cpu, self._cpu.registers
        selector = self._msrs.read(IA32_SYSENTER_CS)
        if not registers.cr[0] & CR0_PE or not selector & 0xFFFC or registers.cpl:
            raise Fault(GP, 0)
        if instruction.wide and not (is_canonical(registers.rcx) and is_canonical(registers.rdx)):
            raise Fault(GP, 0)
        cpu.skip(instruction.length)
        mask = 2**64 - 1 if instruction.wide else _LOW
        registers.rsp, registers.rip = registers.rcx & mask, registers.rdx & mask
        first = selector + (32 if instruction.wide else 16)
        self._load_flat(first | 3, _FLAT_CODE_64 if instruction.wide else _FLAT_CODE_32, 3)
        cpu.set_privilege(3)
        return Done.COMPLETE

    def _load_flat(self, selector: int, code: int, privilege: int) -> None:
        """Load CS and SS with flat segments, without reading descriptors."""
        cpu, user = self._cpu, _USER if privilege else 0
        cpu.registers.cs.load(selector & 0xFFFC | privilege, 0, _LOW, code | user)
        cpu.registers.ss.load(selector + 8 & 0xFFFC | privilege, 0, _LOW, _FLAT_DATA | user)
