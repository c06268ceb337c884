"""x87 floating-point exceptions are raised by the next waiting instruction (SDM volume 1, 8.7.1); Unicorn: FWAIT only.

While the control word leaves one of them unmasked the machine goes instruction by instruction, and asks here before
each.
"""

from machine.control_registers import CR0_EM, CR0_NE, CR0_TS
from machine.cpu import Cpu
from machine.exceptions import MF, Fault
from machine.opcodes import Instruction
from machine.state import Stateful

_EXCEPTIONS = 0x3F
_FWAIT = 0x9B
_ESCAPES = range(0xD8, 0xE0)
_NOT_WAITING_MEMORY = frozenset([(0xD9, 6), (0xD9, 7), (0xDD, 6), (0xDD, 7)])
"""FNSTENV, FNSTCW, FNSAVE, FNSTSW: opcode and its extension."""
_FNSTSW_AX = (0xDF, 4, 0)
_MMX = frozenset([*range(0x60, 0x6C), 0x6E, 0x6F, *range(0x70, 0x78), 0x7E, 0x7F, 0xC4, 0xC5, *range(0xD1, 0xFF)])
_MANDATORY_PREFIXES = frozenset([0x66, 0xF2, 0xF3])


def waits(instruction: Instruction) -> bool:
    """Whether an instruction raises what is pending: FWAIT, MMX, and all of x87 but its FN forms."""
    opcode, operand = instruction.opcode, instruction.operand
    if opcode in _ESCAPES:
        if not isinstance(operand, int):
            return (opcode, instruction.extension) not in _NOT_WAITING_MEMORY
        if opcode == 0xDB and instruction.extension == 4:  # FNCLEX, FNINIT and three of no effect
            return operand & 7 > 4
        return (opcode, instruction.extension, operand & 7) != _FNSTSW_AX
    if opcode >> 8 == 0x0F:
        return opcode & 0xFF in _MMX and not _MANDATORY_PREFIXES & frozenset(instruction.prefixes)
    return opcode == _FWAIT


class X87Exceptions(Stateful):
    """Looks at the instruction at RIP before it is executed."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self._unmasked = 0

    def follow_control_word(self) -> None:
        """The control word may have been loaded."""
        self._unmasked = ~self._cpu.read_register("FPCW") & _EXCEPTIONS

    @property
    def wanted(self) -> bool:
        """Whether an exception is unmasked, x87 is on, and its exceptions come by vector."""
        return bool(self._unmasked) and self._cpu.registers.cr[0] & (CR0_NE | CR0_EM | CR0_TS) == CR0_NE

    def check(self) -> None:
        """Raise Fault (#MF) if an exception is pending and the instruction at RIP waits."""
        cpu = self._cpu
        self.follow_control_word()  # FNINIT and FNSAVE mask all
        if self.wanted and cpu.read_register("FPSW") & self._unmasked:
            instruction = cpu.instruction_at(cpu.linear_rip)
            if instruction is not None and waits(instruction):
                raise Fault(MF)
