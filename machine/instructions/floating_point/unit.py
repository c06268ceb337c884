"""The x87 unit of a processor: execution of ESC instructions (D8 to DF) and FWAIT, and the x87 part of MMX.

The registers are in Unicorn's saved context, for FXSAVE, snapshots and MMX instructions. Unicorn itself never executes
an x87 instruction.
"""

from machine.architecture.control_registers import CR0_MP, CR0_NE, CR0_TS
from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import MF, NM, UD, Fault
from machine.architecture.instruction_set import Prefix
from machine.architecture.opcodes import Action
from machine.instructions.disposition import Done
from machine.instructions.floating_point.clearing import CLEARING
from machine.instructions.floating_point.forms import Form
from machine.instructions.floating_point.fxsave import fxrstor, fxsave
from machine.instructions.floating_point.mmx import operand_bytes, stores, written_register
from machine.instructions.floating_point.state import X87State
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import require_unit, require_x87
from machine.instructions.operand_size import operand_size
from machine.instructions.operands import effective_address, in_segment, linear_address
from machine.processor.cpu import Cpu

_FWAIT = 0x9B
_ESCAPES = range(0xD8, 0xE0)
OPCODES = frozenset([_FWAIT, *_ESCAPES])
"""The opcodes that `FloatingPointUnit.execute` executes."""
_REGISTER_FORMS = 0xC0
"""The lowest ModRM byte without a memory operand."""
_WAIT_MONITORED = CR0_MP | CR0_TS
_UNDEFINED, _MMX = int(Action.UNDEFINED), int(Action.MMX)
_GROUP_15, _IMAGES = 0x0FAE, (0, 1)
"""FXSAVE and FXRSTOR."""
OPCODE_BITS = 7
"""The bits of the first opcode byte that FOP holds above the ModRM byte."""


class _Operand:
    """The memory operand of the instruction at RIP."""

    __slots__ = ("_memory", "address", "on_stack")

    def __init__(self, memory: OperandMemory) -> None:
        self._memory = memory
        self.address = 0
        self.on_stack = False

    def read(self, size: int) -> bytes:
        return self._memory.read(self.address, size, stack=self.on_stack)

    def write(self, data: bytes) -> None:
        self._memory.write(self.address, data, stack=self.on_stack)

    def probe(self, size: int) -> None:
        self._memory.probe(self.address, size, write=True, stack=self.on_stack)


class FloatingPointUnit:
    """The x87 unit of one processor. Methods raise Fault: #NM, #MF, #UD, and those of memory operands."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self.state = X87State(cpu.context.x87_state)
        self._memory = memory
        self._operand = _Operand(memory)

    def check(self) -> None:
        """Raise #MF if an exception is pending (SDM volume 1, 8.7.1).

        Without CR0.NE nothing happens: FERR#, which replaces #MF, is not connected.

        Raises:
            Fault: #MF.
        """
        if self.state.is_pending and self._cpu.registers.cr[0] & CR0_NE:
            raise Fault(MF)

    def _wait(self, instruction: Instruction) -> None:
        if self._cpu.registers.cr[0] & _WAIT_MONITORED == _WAIT_MONITORED:
            raise Fault(NM)
        self.check()
        self._cpu.skip(instruction.length)

    def save(self, instruction: Instruction) -> Done:
        """Execute FXSAVE."""
        return fxsave(self._cpu, self.state, self._memory, instruction)

    def restore(self, instruction: Instruction) -> Done:
        """Execute FXRSTOR."""
        return fxrstor(self._cpu, self.state, self._memory, instruction)

    def check_mmx(self, instruction: Instruction) -> None:
        """Raise the Fault of an MMX instruction that control registers forbid or that finds a pending exception."""
        require_unit(self._cpu, instruction)
        self.check()

    def check_before_access(self, instruction: Instruction) -> None:
        """Raise the Fault of an x87, MMX or SSE instruction that precedes those of its memory operand."""
        opcode = instruction.opcode
        if opcode in _ESCAPES:
            self._available(instruction)
        elif instruction.action & _MMX:
            self.check_mmx(instruction)
        elif opcode == _GROUP_15 and instruction.extension in _IMAGES and instruction.prefix == Prefix.NONE:
            require_x87(self._cpu)
        else:
            require_unit(self._cpu, instruction)

    def _available(self, instruction: Instruction) -> Form:
        """Return the form of an ESC instruction, which may be executed now."""
        require_x87(self._cpu)
        form = _form(instruction)
        if form is None:
            raise Fault(UD)
        if form.waits and self.state.is_pending:
            self.check()
        return form

    def empty_mmx(self, instruction: Instruction) -> Done:
        """Execute EMMS: tag all registers as empty, and set TOP to 0 (SDM volume 3, 12.2)."""
        self.state.top = 0
        self.state.tags = b"\1" * 8
        self._cpu.skip(instruction.length)
        return Done.COMPLETE

    def prepare_mmx(self, instruction: Instruction) -> None:
        """Apply the effects of an MMX instruction that Unicorn, which executes it next, lacks. Raises Fault."""
        operand = instruction.operand
        if isinstance(operand, MemoryOperand):  # a faulting instruction changes nothing
            address, size = linear_address(self._cpu, instruction), operand_bytes(instruction)
            self._memory.probe(address, size, write=stores(instruction), stack=operand.segment == "ss")
        register = written_register(instruction)
        if register is not None:
            self.state.set_exponent(register)

    def execute(self, instruction: Instruction) -> None:
        """Execute FWAIT or an ESC instruction. Raises Fault."""
        if instruction.action & _UNDEFINED:
            raise Fault(UD)
        if instruction.opcode == _FWAIT:
            self._wait(instruction)
            return
        cpu, x87, operand = self._cpu, self.state, instruction.operand
        registers, hook, opcode = cpu.registers, cpu.hook, instruction.opcode
        form = self._available(instruction)
        if isinstance(operand, MemoryOperand):
            from machine.instructions.floating_point.execution import execute  # noqa: PLC0415 - see clearing

            offset = effective_address(cpu, instruction)
            self._operand.address = in_segment(cpu, operand, offset)
            self._operand.on_stack = operand.segment == "ss"
            execute(x87, form, self._operand, wide=not form.is_control or _is_wide(cpu, instruction))
            if not form.is_control:
                x87.note_operand(getattr(registers, operand.segment).selector & 0xFFFF, offset)
        else:
            x87.flags = hook.rflags
            form.handler(x87, form.argument)
            hook.rflags = x87.flags
            if x87.ax is not None:
                registers.rax = registers.rax & ~0xFFFF | x87.ax
                x87.ax = None
        if not form.is_control:
            x87.note_instruction((opcode & OPCODE_BITS) << 8 | instruction.modrm, registers.cs.selector, registers.rip)
        cpu.skip(instruction.length)


def _form(instruction: Instruction) -> Form | None:
    found = CLEARING.get((instruction.opcode, instruction.modrm))
    if found is not None:
        return found
    from machine.instructions.floating_point.table import MEMORY_FORMS, REGISTER_FORMS  # noqa: PLC0415 - see clearing

    if instruction.modrm < _REGISTER_FORMS:
        return MEMORY_FORMS.get((instruction.opcode, instruction.extension))
    return REGISTER_FORMS.get((instruction.opcode, instruction.modrm))


def _is_wide(cpu: Cpu, instruction: Instruction) -> bool:
    """Return True if the operand size is not 16 bits; only the format of environments depends on it."""
    return operand_size(cpu, instruction) > 2
