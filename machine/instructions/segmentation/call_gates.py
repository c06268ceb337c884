"""Call gates (SDM volume 3, 5.8.3 to 5.8.5)."""

import struct

import msgspec

from machine.architecture.descriptors import CALL_GATE, CALL_GATE_16, Segment
from machine.architecture.exceptions import GP, NP, SS, TS, Fault
from machine.architecture.paging import is_canonical
from machine.instructions.segmentation.code_segments import Destination, descriptor
from machine.instructions.segmentation.data_segments import check_stack
from machine.instructions.stack import FLAT_INNER, Stack, inner_stack
from machine.processor.cpu import EFER_LMA, Cpu

_LOCAL, _BUSY, _TASK_32, _TASK_16 = 4, 2, 0xB, 0x3


class CallGate(msgspec.Struct, frozen=True):
    """A call gate, checked."""

    destination: Destination
    parameters: int
    """Number of words to copy to an inner stack."""
    size: int
    """Size of these words and of the pushed words, in bytes."""


def is_call_gate(cpu: Cpu, segment: Segment) -> bool:
    """Return whether a descriptor is a call gate in the current mode; IA-32e mode has 64-bit gates only."""
    return segment.system_type == CALL_GATE or (
        segment.system_type == CALL_GATE_16 and not cpu.registers.efer & EFER_LMA
    )


def read_gate(cpu: Cpu, selector: int, at: int, entry: Segment, *, jump: bool) -> CallGate:
    """Read a call gate, and check it and its target as a far JMP or CALL does. Raises Fault.

    Args:
        cpu: The processor.
        selector: The selector of the gate.
        at: The linear address of its descriptor.
        entry: The descriptor.
        jump: The instruction is JMP, which may not change the ring.

    Returns:
        The gate; its target offset must still be checked.

    Raises:
        Fault: #GP or #NP.
    """
    error, ring = selector & 0xFFFC, cpu.registers.cpl
    long = bool(cpu.registers.efer & EFER_LMA)
    target, parameters, offset = _fields(cpu, selector, at, long=long)
    if entry.level < max(ring, selector & 3):
        raise Fault(GP, error)
    if not entry.present:
        raise Fault(NP, error)
    target_at, segment = descriptor(cpu, target)
    error = target & 0xFFFC
    only_same = jump and not segment.conforming
    if not segment.is_code or (segment.level != ring if only_same else segment.level > ring):
        raise Fault(GP, error)
    if long and (not segment.long or segment.default_32):
        raise Fault(GP, error)
    if not segment.present:
        raise Fault(NP, error)
    wide = entry.system_type == CALL_GATE
    size = 8 if long else 4 if wide else 2
    destination = Destination(
        target, target_at, segment, offset if wide else offset & 0xFFFF, ring if segment.conforming else segment.level
    )
    return CallGate(destination, 0 if long else parameters, size)


def _fields(cpu: Cpu, selector: int, at: int, *, long: bool) -> tuple[int, int, int]:
    """Return selector, parameter count and offset of a gate."""
    low, target, count, high = struct.unpack("<HHBxH", cpu.memory.read(at, 8))
    offset = low | high << 16
    if long:
        table = cpu.registers.ldtr if selector & _LOCAL else cpu.registers.gdtr
        if (selector & ~7) + 15 > table.limit or not is_canonical(at + 15):
            raise Fault(GP, selector & 0xFFFC)
        upper, types = struct.unpack("<II", cpu.memory.read(at + 8, 8))
        if types & 0x1F00:
            raise Fault(GP, selector & 0xFFFC)
        offset |= upper << 32
    return target, count & 0x1F, offset


class InnerStack(msgspec.Struct, frozen=True):
    """The stack of a more privileged ring, from the TSS. SS becomes null if `segment` is None."""

    selector: int
    pointer: int
    stack: Stack
    at: int = 0
    segment: Segment | None = None


def stack_of_ring(cpu: Cpu, ring: int) -> InnerStack:
    """Return a ring's stack from the TSS, checked for a call through a gate. Raises Fault."""
    task = cpu.registers.tr
    error = task.selector & 0xFFFC
    if cpu.registers.efer & EFER_LMA:
        offset = 4 + 8 * ring
        if offset + 7 > task.limit:
            raise Fault(TS, error)
        pointer = int.from_bytes(cpu.memory.read(task.base + offset, 8), "little")
        if not is_canonical(pointer):
            raise Fault(SS, 0)
        return InnerStack(ring, pointer, FLAT_INNER)
    kind = task.flags >> 8 & 0xF | _BUSY  # Unicorn's LTR sets it in the table but not in the register
    if kind not in (_TASK_32, _TASK_16):
        raise Fault(TS, error)
    offset, layout = (4 + 8 * ring, "<IH") if kind == _TASK_32 else (2 + 4 * ring, "<HH")
    size = struct.calcsize(layout)
    if offset + size - 1 > task.limit:
        raise Fault(TS, error)
    pointer, selector = struct.unpack(layout, cpu.memory.read(task.base + offset, size))
    at, segment = check_stack(cpu, selector, ring, TS)
    return InnerStack(selector, pointer, inner_stack(segment, selector & 0xFFFC), at, segment)
