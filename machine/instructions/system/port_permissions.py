"""I/O port permissions outside ring 0 (SDM volume 1, 19.5), which Unicorn does not check."""

from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import GP, Fault
from machine.instructions.operand_size import operand_size
from machine.processor.cpu import Cpu

_TSS_IO_MAP_BASE = 102


def check_ports(cpu: Cpu, instruction: Instruction) -> None:
    """Raise Fault (#GP) if IN, OUT, INS or OUTS at RIP may not access its ports."""
    opcode = instruction.opcode
    width = min(operand_size(cpu, instruction), 4) if opcode & 1 else 1
    port = instruction.immediate if instruction.immediate_bytes else cpu.registers.rdx & 0xFFFF
    if not may_use(cpu, port, width):
        raise Fault(GP, 0)


def may_use(cpu: Cpu, port: int, width: int) -> bool:
    """Return whether the current ring may use `width` ports from `port`, by IOPL or the bitmap in the TSS."""
    task = cpu.registers.tr
    if cpu.registers.cpl <= cpu.rflags >> 12 & 3:
        return True
    if task.limit < _TSS_IO_MAP_BASE + 1 or task.flags >> 8 & 0xD != 0x9:  # a 32-bit or 64-bit TSS
        return False
    start = int.from_bytes(cpu.memory.read(task.base + _TSS_IO_MAP_BASE, 2), "little") + port // 8
    if start + 1 > task.limit:
        return False
    bitmap = int.from_bytes(cpu.memory.read(task.base + start, 2), "little")
    return not bitmap & (1 << width) - 1 << port % 8
