"""Instructions that Unicorn does not execute as the manual says, or does not execute at all (SDM volume 2).

The instruction hook stops before them. Each function has the same parts: CHECK raises the Fault of the manual; then the
function either lets Unicorn execute the instruction (`Done.NATIVE`) or executes it itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from machine.architecture import control_registers
from machine.architecture.cpuid import cpuid
from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import DB, GP, UD, Fault
from machine.architecture.instruction_set import Prefix
from machine.architecture.opcodes import Action
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import GENERAL_REGISTERS, HFLAG_TS
from machine.instructions.disposition import Done
from machine.instructions.floating_point.unit import OPCODES as FLOATING_POINT
from machine.instructions.floating_point.unit import FloatingPointUnit
from machine.instructions.general.frames import Frames
from machine.instructions.general.wide_operands import execute_wide
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import write_general
from machine.instructions.operand_size import operand_size
from machine.instructions.operands import linear_address
from machine.instructions.segment_limits import SegmentLimits
from machine.instructions.segmentation.descriptor_table_registers import DescriptorTableRegisters
from machine.instructions.segmentation.rules import segmentation_rules
from machine.instructions.simd.control import load_mxcsr, store_mxcsr
from machine.instructions.system.msrs import Msrs
from machine.instructions.system.port_permissions import check_ports
from machine.instructions.system.syscall import FastSystemCalls
from machine.processor.cpu import Cpu
from machine.processor.debug_registers import DR6_BD, DR7_GD

_RESTRICTED = int(Action.UNDEFINED | Action.PORT | Action.DESCRIPTOR)
_MMX, _UNDEFINED, _PORT = int(Action.MMX), int(Action.UNDEFINED), int(Action.PORT)
_OVERRIDE = int(Action.OVERRIDE | Action.CODE)
_HAS_RULE = ~int(Action.OVERRIDE | Action.CODE | Action.MISLEADING | Action.MODIFIES | Action.LOCKABLE)
_WIDE = int(Action.ALIGNED | Action.WIDE)
_CR4_UMIP = 1 << 11
_FXSAVE, _FXRSTOR, _LDMXCSR, _STMXCSR, _CLFLUSH = *range(4), 7
_SGDT, _SIDT, _LGDT, _LIDT = range(4)
_WRFSBASE = 2
_SMSW, _LMSW, _INVLPG = 4, 6, 7
_GROUP_7_REGISTER_FORMS = frozenset([0xCA, 0xCB, 0xF8])
"""CLAC, STAC, SWAPGS."""
_GROUP_6, _GROUP_7, _RDTSCP = 0x0F00, 0x0F01, 0xF9
_PRIVILEGED = {_GROUP_6: (2, 3), _GROUP_7: (_LGDT, _LIDT, _LMSW, _INVLPG)}
"""Privileged instructions with a memory operand: LLDT, LTR, LGDT, LIDT, LMSW, INVLPG."""
_CONTROL_REGISTERS = (0, 2, 3, 4, 8)
_LOW = 0xFFFF_FFFF


class TaskPriority(Protocol):
    """The part of the local APIC used by CR8."""

    cr8: int
    """Bits 7:4 of the task priority."""


class SystemInstructions:
    """Executes the watched instruction at RIP.

    Args:
        cpu: The processor.
        msrs: Its model-specific registers.
        apic: The local APIC, for CR8.
        x87: Its floating-point unit.
        limits: Its segment limits.
    """

    def __init__(self, cpu: Cpu, msrs: Msrs, apic: TaskPriority, x87: FloatingPointUnit, limits: SegmentLimits) -> None:
        self._cpu = cpu
        self._x87 = x87
        self._limits = limits
        self._msrs = msrs
        self._debug = cpu.debug
        self._apic = apic
        calls = FastSystemCalls(cpu, msrs)
        memory = self._memory = OperandMemory(cpu)
        self._tables = DescriptorTableRegisters(cpu, memory)
        self._rules: dict[int, Callable[[Instruction], Done]] = {
            0xF1: self._int1,
            _GROUP_7: self._group_7,
            0x0F05: calls.syscall,
            0x0F06: self._clts,
            0x0F07: calls.sysret,
            0x0F20: self._mov_from_control_register,
            0x0F21: self._mov_from_debug_register,
            0x0F22: self._mov_to_control_register,
            0x0F23: self._mov_to_debug_register,
            0x0F30: self._wrmsr,
            0x0F31: self._rdtsc,
            0x0F32: self._rdmsr,
            0x0F33: self._rdpmc,
            0x0F34: calls.sysenter,
            0x0F35: calls.sysexit,
            0x0F77: x87.empty_mmx,
            0x0FA2: self._cpuid,
            0x0FAE: self._group_15,
            **dict.fromkeys(FLOATING_POINT, self._floating_point),
        }
        self._rules |= Frames(cpu, memory).rules
        self._rules |= segmentation_rules(cpu, memory)
        self._are_all = False

    def execute(self, instruction: Instruction) -> Done:
        """Execute the instruction at RIP, or return `Done.NATIVE` for Unicorn to execute it. Raises Fault."""
        if instruction.action & _RESTRICTED:
            self._check_permission(instruction)
        if instruction.action & _OVERRIDE:
            self.check_before_access(instruction)
            self._limits.check_accesses(instruction)
        if instruction.action & _MMX:
            self._x87.check_mmx(instruction)
        if instruction.action & _WIDE and execute_wide(self._cpu, instruction) is Done.COMPLETE:
            return Done.COMPLETE
        rule = self._rules.get(instruction.opcode) if instruction.action & _HAS_RULE else None
        if rule is None and instruction.action & _HAS_RULE and not self._are_all:
            self._add_rules()
            rule = self._rules.get(instruction.opcode)
        done = Done.NATIVE if rule is None else rule(instruction)
        if done is Done.NATIVE and instruction.action & _MMX:
            self._x87.prepare_mmx(instruction)
        return done

    def _add_rules(self) -> None:
        """Import the rules that few kernels need, SIMD above all."""
        from machine.instructions.rules import RULES  # noqa: PLC0415

        for rules in RULES:
            self._rules = {opcode: partial(rule, self._cpu) for opcode, rule in rules.items()} | self._rules
        self._are_all = True

    def _check_permission(self, instruction: Instruction) -> None:
        """Raise the Fault of an instruction that is undefined or forbidden in the current ring."""
        cpu, found = self._cpu, instruction.action
        if found & _UNDEFINED:
            raise Fault(UD)
        if found & _PORT:
            check_ports(cpu, instruction)
        elif cpu.registers.cpl and cpu.registers.cr[4] & _CR4_UMIP:
            raise Fault(GP, 0)

    def check_before_access(self, instruction: Instruction) -> None:
        """Raise the Fault of an instruction that precedes those of its accesses to memory (SDM volume 3, 6.9)."""
        if instruction.action & _RESTRICTED:
            self._check_permission(instruction)
        in_memory = isinstance(instruction.operand, MemoryOperand)
        if in_memory and instruction.extension in _PRIVILEGED.get(instruction.opcode, ()):
            self._check_ring_0()
        self._x87.check_before_access(instruction)

    # Helpers

    def _check_ring_0(self) -> None:
        """Raise the Fault of a privileged instruction outside ring 0 (#GP)."""
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

    # Control, debug and model-specific registers

    def _control_register(self, instruction: Instruction) -> int:
        """Return the register of MOV CR, checked: a nonexistent one is #UD in every ring."""
        if instruction.register not in _CONTROL_REGISTERS:
            raise Fault(UD)
        self._check_ring_0()
        return instruction.register

    def _mov_to_control_register(self, instruction: Instruction) -> Done:
        cpu, number = self._cpu, self._control_register(instruction)
        value, registers = self._operand(instruction), cpu.registers
        if number in (0, 4):
            check = control_registers.check_cr4 if number else control_registers.check_cr0
            check(registers, cpu.memory, value)
            cpu.engine.paging.directory_pointers.before_change(number, value)
            return Done.NATIVE
        if number == 8:
            if value >> 4:
                raise Fault(GP, 0)
            self._apic.cr8 = value
        elif number == 2:
            registers.cr[2] = value
        else:
            control_registers.check_cr3(registers, cpu.memory, value)
            cpu.engine.paging.load_cr3(value)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _mov_from_control_register(self, instruction: Instruction) -> Done:
        number = self._control_register(instruction)
        self._set_operand(instruction, self._read_control_register(number))
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _read_control_register(self, number: int) -> int:
        if number == 8:
            return self._apic.cr8
        registers = self._cpu.registers
        return registers.cr3 if number == 3 else registers.cr[number]

    def _clts(self, instruction: Instruction) -> Done:
        self._check_ring_0()
        registers = self._cpu.registers
        registers.cr[0] &= ~control_registers.CR0_TS
        registers.hflags &= ~HFLAG_TS
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _debug_register(self, instruction: Instruction) -> int:
        """Return the register of MOV DR, checked for #UD, then for privilege, then for general detection (18.2.4)."""
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
        self._check_ring_0()
        registers = self._cpu.registers
        value = self._msrs.read(registers.rcx & _LOW)
        registers.rax, registers.rdx = value & _LOW, value >> 32
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _wrmsr(self, instruction: Instruction) -> Done:
        self._check_ring_0()
        registers = self._cpu.registers
        self._msrs.write(registers.rcx & _LOW, registers.rdx << 32 & 2**64 - 1 | registers.rax & _LOW)
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _rdpmc(self, _instruction: Instruction) -> Done:
        """Raise #GP: there are no counters (CPUID leaf 0AH), so no number is valid."""
        raise Fault(GP, 0)

    # Identification and time

    def _cpuid(self, instruction: Instruction) -> Done:
        registers = self._cpu.registers
        leaf, subleaf = registers.rax & _LOW, registers.rcx & _LOW
        registers.rax, registers.rbx, registers.rcx, registers.rdx = cpuid(leaf, subleaf, self._cpu.cpuid_switches())
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def _rdtsc(self, instruction: Instruction) -> Done:
        """Execute RDTSC or RDTSCP. Unicorn's RDTSC loses the flags of a preceding instruction in the same block."""
        cpu, registers = self._cpu, self._cpu.registers
        if registers.cpl and registers.cr[4] & control_registers.CR4_TSD:
            raise Fault(GP, 0)
        cpu.skip(instruction.length)
        now = cpu.time_stamp_counter.value
        registers.rax, registers.rdx = now & _LOW, now >> 32
        if instruction.opcode == _GROUP_7:
            registers.rcx = cpu.time_stamp_counter.aux
        return Done.COMPLETE

    # Descriptor tables

    def _group_7(self, instruction: Instruction) -> Done:
        """Execute SGDT, SIDT, LGDT, LIDT, INVLPG, RDTSCP or SMSW; the other defined register forms are Unicorn's."""
        if instruction.modrm == _RDTSCP:
            return self._rdtsc(instruction)
        if not isinstance(instruction.operand, MemoryOperand):
            if instruction.extension == _SMSW:
                return self._smsw(instruction)
            if instruction.extension == _LMSW or instruction.modrm in _GROUP_7_REGISTER_FORMS:
                return Done.NATIVE
            raise Fault(UD)
        if instruction.extension == _INVLPG:
            self._check_ring_0()
            self._cpu.engine.paging.flush_tlb()
            self._cpu.skip(instruction.length)
            return Done.COMPLETE
        if instruction.extension in (_SGDT, _SIDT):
            return self._tables.store(instruction)
        return self._tables.load(instruction) if instruction.extension in (_LGDT, _LIDT) else Done.NATIVE

    def _smsw(self, instruction: Instruction) -> Done:
        """Execute SMSW to a register: all of CR0, as on processors; the upper half is undefined in the manual."""
        cpu, size = self._cpu, operand_size(self._cpu, instruction)
        assert isinstance(instruction.operand, int)
        write_general(cpu, instruction.operand, cpu.registers.cr[0] & (1 << 8 * size) - 1, size)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _floating_point(self, instruction: Instruction) -> Done:
        self._x87.execute(instruction)
        return Done.COMPLETE

    def _group_15(self, instruction: Instruction) -> Done:
        """Execute FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, CLFLUSH, WRFSBASE or WRGSBASE."""
        if instruction.prefix == Prefix.REPEAT:
            return self._write_segment_base(instruction)
        if instruction.extension == _FXSAVE:
            return self._x87.save(instruction)
        if instruction.extension == _FXRSTOR:
            return self._x87.restore(instruction)
        if instruction.extension == _LDMXCSR:
            return load_mxcsr(self._cpu, instruction)
        if instruction.extension == _STMXCSR:
            return store_mxcsr(self._cpu, instruction)
        operand = instruction.operand
        if instruction.extension == _CLFLUSH and isinstance(operand, MemoryOperand):
            address = linear_address(self._cpu, instruction)
            self._memory.probe(address, 1, write=False, stack=operand.segment == "ss")  # it faults as a load does
            self._cpu.skip(instruction.length)
            return Done.COMPLETE
        return Done.NATIVE

    def _write_segment_base(self, instruction: Instruction) -> Done:
        """Execute WRFSBASE or WRGSBASE: Unicorn accepts any address, and with 66H writes 64 bits without REX.W."""
        registers = self._cpu.registers
        if not registers.cr[4] & control_registers.CR4_FSGSBASE:
            return Done.NATIVE
        value = self._operand(instruction)
        if instruction.wide and not is_canonical(value):
            raise Fault(GP, 0)
        segment = registers.fs if instruction.extension == _WRFSBASE else registers.gs
        segment.base = value if instruction.wide else value & _LOW
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    # Interrupts

    def _int1(self, instruction: Instruction) -> Done:
        self._cpu.skip(instruction.length)
        return Done.TRAP
