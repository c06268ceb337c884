"""Instructions that Unicorn executes otherwise than the manual says, or not at all (SDM volume 2).

The instruction hook stops in front of them. Each function has the same parts: CHECK raises the Fault that the manual
names, and then the function either lets Unicorn execute the instruction (`Done.NATIVE`) or does it itself.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from machine import control_registers
from machine.control_registers import CR0_PE
from machine.cpu import EFER_LMA, FLAG_IF, FLAG_RF, FLAG_VM, Cpu
from machine.debug_registers import DR6_BD, DR7_GD
from machine.exceptions import DB, GP, PF, UD, Fault
from machine.msrs import (
    EFER_SCE,
    IA32_FMASK,
    IA32_LSTAR,
    IA32_STAR,
    IA32_SYSENTER_CS,
    IA32_SYSENTER_EIP,
    IA32_SYSENTER_ESP,
    Msrs,
)
from machine.opcodes import Action, Instruction, MemoryOperand, action
from machine.operands import linear_address, peek
from machine.paging import is_canonical
from machine.processor_state import GENERAL_REGISTERS
from machine.x87_exceptions import X87Exceptions

_FLAT_CODE_64, _FLAT_CODE_32, _FLAT_DATA = 0x00AF_9B00, 0x00CF_9B00, 0x00CF_9300
_USER = 3 << 13
_BMI = frozenset([(2, 0xF2), (2, 0xF3), (2, 0xF5), (2, 0xF6), (2, 0xF7), (3, 0xF0)])
"""Map and opcode of ANDN, BLSR and its like, BZHI, PDEP and PEXT, MULX, BEXTR and its like, RORX."""
_SYSRET_FLAGS = 0x3C_7FD7
_CR4_UMIP = 1 << 11
_TSS_IO_MAP_BASE = 102
_PF_USER = 4
_FXSAVE_MXCSR = 24
_LOW = 0xFFFF_FFFF


class Done(Enum):
    """How an instruction is, or is to be, executed."""

    NATIVE = auto()
    """By Unicorn."""
    LOADS_MASKS = auto()
    """By Unicorn, and MXCSR or the x87 control word is another behind it."""
    COMPLETE = auto()
    """Here: it has retired. A single-step trap follows if TF was set before it."""
    TRANSFERRED = auto()
    """Here, and it loaded RFLAGS: a single-step trap follows if TF is set now."""
    TRAP = auto()
    """Here, and #DB follows in any case (INT1)."""


class TaskPriority(Protocol):
    """What the local APIC answers for."""

    cr8: int
    """Bits 7 to 4 of the task priority."""


class SystemInstructions:
    """Executes the watched instruction at RIP."""

    def __init__(self, cpu: Cpu, msrs: Msrs, apic: TaskPriority, x87: X87Exceptions) -> None:
        self._cpu = cpu
        self._x87 = x87
        self._msrs = msrs
        self._debug = cpu.debug
        self._apic = apic
        self._rules: dict[int, Callable[[Instruction], Done]] = {
            0xC4: self._vex,
            0xC5: self._vex,
            0xF1: self._int1,
            0xCF: self._iret,
            0xD9: self._load_control_word,
            0xDD: self._load_control_word,
            0x0F00: self._group_6,
            0x0F01: self._group_7,
            0x0F05: self._syscall,
            0x0F07: self._sysret,
            0x0F20: self._mov_from_control_register,
            0x0F21: self._mov_from_debug_register,
            0x0F22: self._mov_to_control_register,
            0x0F23: self._mov_to_debug_register,
            0x0F30: self._wrmsr,
            0x0F32: self._rdmsr,
            0x0F33: self._rdpmc,
            0x0F34: self._sysenter,
            0x0F35: self._sysexit,
            0x0FAE: self._load_mxcsr,
            0x0FC7: self._undefined,
        }

    def execute(self) -> Done:
        """Execute the instruction at RIP, or say that Unicorn is to do it. Raises Fault."""
        cpu = self._cpu
        code = cpu.code_at(cpu.linear_rip)
        instruction = cpu.instruction_at(cpu.linear_rip)
        if instruction is None:
            return Done.NATIVE
        found = action(code)
        if found & Action.PORT:
            return self._port(instruction)
        if found & Action.DESCRIPTOR and cpu.registers.cpl and cpu.registers.cr[4] & _CR4_UMIP:
            raise Fault(GP, 0)
        rule = self._rules.get(instruction.opcode)
        return Done.NATIVE if rule is None else rule(instruction)

    # Helpers

    def _supervisor(self, instruction: Instruction) -> None:
        """What all privileged instructions check first."""
        if instruction.locked:
            raise Fault(UD)
        if self._cpu.registers.cpl:
            raise Fault(GP, 0)

    def _get(self, register: int) -> int:
        value = int(getattr(self._cpu.registers, GENERAL_REGISTERS[register]))
        return value if self._cpu.registers.in_64_bit_code else value & _LOW

    def _operand(self, instruction: Instruction) -> int:
        assert isinstance(instruction.operand, int)
        return self._get(instruction.operand)

    def _set_operand(self, instruction: Instruction, value: int) -> None:
        assert isinstance(instruction.operand, int)
        setattr(self._cpu.registers, GENERAL_REGISTERS[instruction.operand], value)

    # Ports (SDM volume 1, 19.5)

    def _port(self, instruction: Instruction) -> Done:
        cpu, opcode = self._cpu, instruction.opcode
        width = 1 if not opcode & 1 else 2 if instruction.operand_size_prefix else 4
        if opcode < 0xE8 and opcode >= 0xE4:
            code = cpu.code_at(cpu.linear_rip)
            port = code[instruction.length] if len(code) > instruction.length else 0
        else:
            port = cpu.registers.rdx & 0xFFFF
        if not self._may_use(port, width):
            raise Fault(GP, 0)
        return Done.NATIVE

    def _may_use(self, port: int, width: int) -> bool:
        """IOPL, then the I/O permission bitmap of the TSS."""
        cpu, task = self._cpu, self._cpu.registers.tr
        if cpu.registers.cpl <= cpu.rflags >> 12 & 3:
            return True
        if task.limit < _TSS_IO_MAP_BASE + 1 or task.flags >> 8 & 0xD != 0x9:  # a 32-bit or 64-bit TSS
            return False
        start = int.from_bytes(cpu.memory.read(task.base + _TSS_IO_MAP_BASE, 2), "little") + port // 8
        if start + 1 > task.limit:
            return False
        bitmap = int.from_bytes(cpu.memory.read(task.base + start, 2), "little")
        return not bitmap & (1 << width) - 1 << port % 8

    # Control, debug and model-specific registers

    def _mov_to_control_register(self, instruction: Instruction) -> Done:
        cpu, number = self._cpu, instruction.register
        self._supervisor(instruction)
        if number not in (0, 2, 3, 4, 8):
            raise Fault(UD)
        value, registers = self._operand(instruction), cpu.registers
        if number == 8:
            if value >> 4:
                raise Fault(GP, 0)
            self._apic.cr8 = value
            cpu.skip(instruction.length)
            return Done.COMPLETE
        rule = {0: control_registers.check_cr0, 3: control_registers.check_cr3, 4: control_registers.check_cr4}.get(
            number
        )
        if rule is not None:
            rule(registers, cpu.memory, value)
        return Done.NATIVE

    def _mov_from_control_register(self, instruction: Instruction) -> Done:
        if instruction.register != 8:
            return Done.NATIVE
        self._supervisor(instruction)
        self._set_operand(instruction, self._apic.cr8)
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _debug_register(self, instruction: Instruction) -> int:
        """The register meant by MOV DR, checked: #UD, then general detection, then privilege (18.2.4)."""
        if instruction.locked:
            raise Fault(UD)
        number = self._debug.number(instruction.register)
        if self._cpu.registers.cpl:
            raise Fault(GP, 0)
        if self._debug.dr7 & DR7_GD:
            self._debug.dr6 |= DR6_BD
            self._debug.dr7 &= ~DR7_GD
            raise Fault(DB)
        return number

    def _mov_to_debug_register(self, instruction: Instruction) -> Done:
        number = self._debug_register(instruction)
        value = self._operand(instruction)
        if number > 3 and value >> 32:
            raise Fault(GP, 0)
        self._debug.write(number, value)
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _mov_from_debug_register(self, instruction: Instruction) -> Done:
        number = self._debug_register(instruction)
        self._set_operand(instruction, self._debug.read(number))
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _rdmsr(self, instruction: Instruction) -> Done:
        self._supervisor(instruction)
        registers = self._cpu.registers
        value = self._msrs.read(registers.rcx & _LOW)
        registers.rax, registers.rdx = value & _LOW, value >> 32
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _wrmsr(self, instruction: Instruction) -> Done:
        self._supervisor(instruction)
        registers = self._cpu.registers
        self._msrs.write(registers.rcx & _LOW, registers.rdx << 32 & 2**64 - 1 | registers.rax & _LOW)
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _rdpmc(self, instruction: Instruction) -> Done:
        """There are no counters (CPUID leaf 0AH), so none has a valid number."""
        raise Fault(UD) if instruction.locked else Fault(GP, 0)

    def _undefined(self, _instruction: Instruction) -> Done:
        """RDRAND and RDSEED, which CPUID does not tell of: they would ask the host."""
        raise Fault(UD)

    # Descriptor tables

    def _group_6(self, instruction: Instruction) -> Done:
        """LTR refuses a null selector; the rest of it, and LLDT, are Unicorn's."""
        if instruction.extension != 3:
            return Done.NATIVE
        self._supervisor(instruction)
        cpu = self._cpu
        if isinstance(instruction.operand, MemoryOperand):
            content = peek(cpu, linear_address(cpu, instruction.operand, cpu.rip + instruction.length), 2)
            selector = _LOW if content is None else int.from_bytes(content, "little")
        else:
            selector = self._operand(instruction)
        if not selector & 0xFFFC:
            raise Fault(GP, 0)
        return Done.NATIVE

    def _group_7(self, instruction: Instruction) -> Done:
        """LGDT and LIDT check the base they load; LMSW, INVLPG and the rest are Unicorn's."""
        if instruction.extension not in (2, 3) or not isinstance(instruction.operand, MemoryOperand):
            return Done.NATIVE
        self._supervisor(instruction)
        cpu = self._cpu
        if cpu.registers.in_64_bit_code:
            address = linear_address(cpu, instruction.operand, cpu.rip + instruction.length)
            content = peek(cpu, address, 10)
            if content is not None and not is_canonical(int.from_bytes(content[2:], "little")):
                raise Fault(GP, 0)
        return Done.NATIVE

    # Fast system calls

    def _load_flat(self, selector: int, code: int, privilege: int) -> None:
        """CS and SS without a look at any descriptor."""
        cpu, user = self._cpu, _USER if privilege else 0
        cpu.registers.cs.load(selector & ~3 | privilege, 0, _LOW, code | user)
        cpu.registers.ss.load(selector + 8 & ~3 | privilege, 0, _LOW, _FLAT_DATA | user)

    def _syscall(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.in_64_bit_code or not registers.efer & EFER_SCE or instruction.locked:
            raise Fault(UD)
        cpu.skip(instruction.length)
        registers.rcx, registers.r11 = registers.rip, cpu.rflags & ~FLAG_RF
        registers.rip = self._msrs.read(IA32_LSTAR)
        cpu.rflags = cpu.rflags & ~self._msrs.read(IA32_FMASK) & ~FLAG_RF | 2
        self._load_flat(self._msrs.read(IA32_STAR) >> 32 & 0xFFFC, _FLAT_CODE_64, 0)
        cpu.set_privilege(0)
        return Done.TRANSFERRED

    def _sysret(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.in_64_bit_code or not registers.efer & EFER_SCE or instruction.locked:
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

    def _sysenter(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        selector = self._msrs.read(IA32_SYSENTER_CS)
        if instruction.locked:
            raise Fault(UD)
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

    def _sysexit(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        selector = self._msrs.read(IA32_SYSENTER_CS)
        if instruction.locked:
            raise Fault(UD)
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

    def _vex(self, instruction: Instruction) -> Done:
        """There is no AVX, but Unicorn takes its encodings for SSE. The BMI instructions are encoded so, too."""
        code = self._cpu.code_at(self._cpu.rip)[len(instruction.prefixes) :]
        if not self._cpu.registers.in_64_bit_code and isinstance(instruction.operand, MemoryOperand):
            return Done.NATIVE
        if instruction.rex or code[0] != 0xC4 or len(code) < 4 or (code[1] & 0x1F, code[3]) not in _BMI:
            raise Fault(UD)
        return Done.NATIVE

    def _load_mxcsr(self, instruction: Instruction) -> Done:
        """LDMXCSR and FXRSTOR refuse reserved bits."""
        cpu = self._cpu
        if isinstance(instruction.operand, MemoryOperand):
            address = linear_address(cpu, instruction.operand, cpu.rip + instruction.length)
            content = peek(cpu, address + (_FXSAVE_MXCSR if instruction.extension == 1 else 0), 4)
            if content is not None and int.from_bytes(content, "little") >> 16:
                raise Fault(GP, 0)
        return Done.LOADS_MASKS

    def _load_control_word(self, _instruction: Instruction) -> Done:
        self._x87.check()
        return Done.LOADS_MASKS

    # Interrupts

    def _int1(self, instruction: Instruction) -> Done:
        self._cpu.skip(instruction.length)
        return Done.TRAP

    def _check_frame(self, address: int, instruction: Instruction) -> None:
        """Raise Fault (#PF) where ring 3 may not read what IRET pops: three words, in 64-bit mode five."""
        width = 8 if instruction.wide else 2 if instruction.operand_size_prefix else 4
        for index in range(5 if self._cpu.registers.in_64_bit_code else 3):
            at = address + width * index
            found = self._cpu.memory.look(at)
            if is_canonical(at) and (found is None or not found.user):
                raise Fault(PF, _PF_USER | (found is not None), at)

    def _iret(self, instruction: Instruction) -> Done:
        """In 64-bit mode the address returned to is checked before anything is loaded.

        Unicorn reads the frame as the supervisor, so in ring 3 it is looked at here.

        There is no virtual-8086 mode here: IRETD with VM in the flags to be loaded, which Unicorn obeys, is refused.
        """
        cpu, registers = self._cpu, self._cpu.registers
        base = 0 if registers.in_64_bit_code else registers.ss.base
        if registers.cpl == 3:
            self._check_frame(base + registers.rsp, instruction)
        if not instruction.wide and not instruction.operand_size_prefix:
            flags = cpu.memory.read(base + registers.rsp + 8, 4, cpu.rflags)
            if int.from_bytes(flags, "little") & FLAG_VM:
                raise Fault(GP, 0)
        if registers.in_64_bit_code and instruction.wide:
            found = cpu.memory.look(registers.rsp)
            if found is not None and not is_canonical(
                int.from_bytes(cpu.memory.read(registers.rsp, 8, cpu.rflags), "little")
            ):
                raise Fault(GP, 0)
        return Done.NATIVE
