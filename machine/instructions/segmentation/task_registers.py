"""LLDT and LTR (SDM volume 2)."""

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.descriptors import ACCESSED_BYTE, LDT, TASK_16_AVAILABLE, TASK_AVAILABLE, Segment
from machine.architecture.exceptions import GP, NP, UD, Fault
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import SegmentRegister
from machine.bus.writer import DESCRIPTOR_LOAD
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.segmentation.code_segments import descriptor
from machine.instructions.segmentation.far_pointers import read_selector
from machine.processor.cpu import EFER_LMA, Cpu

_LOCAL, _BUSY = 4, 2
_TYPE_OF_UPPER_HALF = 0x1F00


class TaskRegisters:
    """Executes the instruction at RIP, which loads LDTR or TR."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory

    def lldt(self, instruction: Instruction) -> Done:
        """Execute LLDT. Raises Fault with nothing changed."""
        cpu, register = self._cpu, self._cpu.registers.ldtr
        selector = self._selector(instruction)
        if selector & 0xFFFC:
            _, segment, base = self._descriptor(selector, (LDT,))
            register.load(selector, base, segment.limit, segment.flags)
        else:
            register.load(selector, 0, 0, register.flags)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def ltr(self, instruction: Instruction) -> Done:
        """Execute LTR, which marks the TSS as busy. Raises Fault with nothing changed."""
        cpu = self._cpu
        selector = self._selector(instruction)
        long = cpu.registers.efer & EFER_LMA
        kinds = (TASK_AVAILABLE,) if long else (TASK_AVAILABLE, TASK_16_AVAILABLE)
        at, segment, base = self._descriptor(selector, kinds)
        register: SegmentRegister = cpu.registers.tr
        cpu.memory.push(at + ACCESSED_BYTE, bytes([segment.flags >> 8 & 0xFF | _BUSY]), unit=1, by=DESCRIPTOR_LOAD)
        register.load(selector, base, segment.limit, segment.flags)  # Unicorn aborts if the type is busy
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _selector(self, instruction: Instruction) -> int:
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.cr[0] & CR0_PE:
            raise Fault(UD)
        if registers.cpl:
            raise Fault(GP, 0)
        return read_selector(cpu, self._memory, instruction)

    def _descriptor(self, selector: int, kinds: tuple[int, ...]) -> tuple[int, Segment, int]:
        """Return a system descriptor's linear address in the GDT, the descriptor, and its full base. Raises Fault."""
        cpu, error = self._cpu, selector & 0xFFFC
        if selector & _LOCAL:
            raise Fault(GP, error)
        at, segment = descriptor(cpu, selector)
        long = cpu.registers.efer & EFER_LMA
        if long and (selector & ~7) + 15 > cpu.registers.gdtr.limit:
            raise Fault(GP, error)
        if segment.system_type not in kinds:
            raise Fault(GP, error)
        base = segment.base
        if long:
            upper = int.from_bytes(cpu.memory.read(at + 8, 8), "little")
            base |= (upper & 0xFFFF_FFFF) << 32
            if upper >> 32 & _TYPE_OF_UPPER_HALF or not is_canonical(base):
                raise Fault(GP, error)
        if not segment.present:
            raise Fault(NP, error)
        return at, segment, base
