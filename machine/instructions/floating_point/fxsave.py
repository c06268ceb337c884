"""FXSAVE and FXRSTOR (SDM volume 1, 10.5; volume 2). Unicorn stores no FDP and does not derive ES.

The image has FIP and FDP of 64 bits with REX.W, otherwise of 32 bits with their selectors.
"""

import struct

from machine.architecture.control_registers import CR4_OSFXSR
from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import GP, Fault
from machine.instructions.disposition import Done
from machine.instructions.floating_point.state import X87State
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import require_x87
from machine.instructions.operands import linear_address
from machine.processor.cpu import Cpu

_IMAGE, _ALIGNMENT = 512, 16
_HEAD = struct.Struct("<HHBxH")
_WIDE, _NARROW = struct.Struct("<QQ"), struct.Struct("<IHHIHH")
_MXCSR, _NUMBERS, _VECTORS = 24, 32, 160
MXCSR_MASK = 0xFFFF
"""The bits of MXCSR that are not reserved."""
_SLOT, _LOW = 16, 0xFFFF_FFFF
_TAGS = tuple(bytes(int(not valid >> physical & 1) for physical in range(8)) for valid in range(256))
"""The tags, by an image's abridged tag byte."""


def _operand(cpu: Cpu, instruction: Instruction, memory: OperandMemory, *, write: bool) -> tuple[int, bool]:
    """Check either instruction; return the operand's linear address, and True if its segment is SS."""
    require_x87(cpu)
    assert isinstance(instruction.operand, MemoryOperand)
    address, on_stack = linear_address(cpu, instruction), instruction.operand.segment == "ss"
    if address % _ALIGNMENT:
        raise Fault(GP, 0)
    memory.probe(address, _IMAGE, write=write, stack=on_stack)
    return address, on_stack


def _vector_count(cpu: Cpu) -> int:
    """Return the number of XMM registers in the image."""
    if not cpu.registers.cr[4] & CR4_OSFXSR:
        return 0
    return 16 if cpu.registers.in_64_bit_code else 8


def fxsave(cpu: Cpu, x87: X87State, memory: OperandMemory, instruction: Instruction) -> Done:
    """Execute FXSAVE, which is not a waiting instruction. Raises Fault."""
    address, on_stack = _operand(cpu, instruction, memory, write=True)
    fop, fcs, fds, fip, fdp = x87.pointers
    valid = _TAGS.index(x87.tags)
    image = bytearray(_HEAD.pack(x87.control, x87.status, valid, fop))
    image += _WIDE.pack(fip, fdp) if instruction.wide else _NARROW.pack(fip & _LOW, fcs, 0, fdp & _LOW, fds, 0)
    vectors = _vector_count(cpu)
    numbers = x87.numbers
    if vectors:
        image += struct.pack("<II", cpu.context.mxcsr, MXCSR_MASK)
        image += numbers
        image += cpu.context.vector_registers[: _SLOT * vectors]
        memory.write(address, bytes(image), stack=on_stack)
    else:
        memory.write(address, bytes(image), stack=on_stack)
        memory.write(address + _NUMBERS, numbers, stack=on_stack)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def fxrstor(cpu: Cpu, x87: X87State, memory: OperandMemory, instruction: Instruction) -> Done:
    """Execute FXRSTOR. Raises Fault, including #GP(0) for reserved bits of MXCSR."""
    address, on_stack = _operand(cpu, instruction, memory, write=False)
    image = memory.read(address, _IMAGE, stack=on_stack)
    vectors = _vector_count(cpu)
    mxcsr = int.from_bytes(image[_MXCSR : _MXCSR + 4], "little")
    if vectors and mxcsr & ~MXCSR_MASK:
        raise Fault(GP, 0)
    control, status, valid, fop = _HEAD.unpack_from(image)
    fcs = fds = 0
    if instruction.wide:
        fip, fdp = _WIDE.unpack_from(image, _HEAD.size)
    else:
        fip, fcs, _, fdp, fds, _ = _NARROW.unpack_from(image, _HEAD.size)
    x87.set_control(control)
    x87.set_status(status)
    x87.numbers = image[_NUMBERS:_VECTORS]
    x87.tags = _TAGS[valid]
    x87.pointers = (fop & 0x7FF, fcs, fds, fip, fdp)
    if vectors:
        cpu.context.mxcsr = mxcsr
        cpu.context.vector_registers = image[_VECTORS : _VECTORS + _SLOT * vectors]
    cpu.skip(instruction.length)
    return Done.COMPLETE
