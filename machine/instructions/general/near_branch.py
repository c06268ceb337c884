"""Near branches that Unicorn executes wrongly (SDM volume 2).

With the prefix 66H in 64-bit mode, where the operand size is always 64 bits, it truncates the target to 16 bits, like
another vendor's processors. A CALL to a non-canonical address faults only after the push. RET treats its unsigned
immediate as signed.
"""

from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import GP, Fault
from machine.architecture.paging import is_canonical
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import read_operand
from machine.instructions.operand_size import address_size, operand_size
from machine.instructions.stack import WIDTH_MASKS, current_stack, pop
from machine.processor.cpu import Cpu

_CF, _PF, _ZF, _SF, _OF = 1, 1 << 2, 1 << 6, 1 << 7, 1 << 11
_SHORT_JUMPS, _NEAR_JUMPS = range(0x70, 0x80), range(0x0F80, 0x0F90)
_LOOPNE, _LOOPE, _LOOP, _JRCXZ = range(0xE0, 0xE4)
_RETURN_POPPING, _RETURN, _CALL, _JUMP, _JUMP_SHORT, _INDIRECT = 0xC2, 0xC3, 0xE8, 0xE9, 0xEB, 0xFF
_INDIRECT_CALL = 2
_ALL = 2**64 - 1


def condition(code: int, rflags: int) -> bool:
    """Return whether the condition `code`, the low four bits of Jcc, holds (SDM volume 1, appendix B)."""
    sign_differs = bool(rflags & _SF) != bool(rflags & _OF)
    found = (
        bool(rflags & _OF),
        bool(rflags & _CF),
        bool(rflags & _ZF),
        bool(rflags & (_CF | _ZF)),
        bool(rflags & _SF),
        bool(rflags & _PF),
        sign_differs,
        bool(rflags & _ZF) or sign_differs,
    )[code >> 1]
    return found != bool(code & 1)


def execute_near_branch(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the branch at RIP: RET in all modes, others only in 64-bit mode. Raises Fault."""
    opcode, registers = instruction.opcode, cpu.registers
    if opcode in (_RETURN, _RETURN_POPPING):
        return _return(cpu, instruction)
    if not instruction.long:
        return Done.NATIVE
    if opcode == _INDIRECT and instruction.extension not in (_INDIRECT_CALL, 4):
        return Done.NATIVE
    following = registers.rip + instruction.length & _ALL
    memory = OperandMemory(cpu)
    rsp = registers.rsp
    if opcode == _INDIRECT:
        target = read_operand(cpu, instruction, 8)
    else:
        target = _relative(following, instruction) if _taken(cpu, instruction) else following
    if not is_canonical(target):
        raise Fault(GP, 0)
    if opcode == _CALL or (opcode == _INDIRECT and instruction.extension == _INDIRECT_CALL):
        rsp = rsp - 8 & _ALL
        memory.write(rsp, following.to_bytes(8, "little"), stack=True)
    registers.rsp = rsp & _ALL
    if opcode in (_LOOPNE, _LOOPE, _LOOP):
        registers.rcx = _count(cpu, instruction) - 1 & WIDTH_MASKS[address_size(cpu, instruction)]
    cpu.skip(instruction.length)
    registers.rip = target
    return Done.COMPLETE


def check_near_branch(cpu: Cpu, instruction: Instruction) -> None:
    """Check a near branch outside 64-bit mode; RET is checked when it is executed.

    Raises:
        Fault: Its target is beyond the limit of CS: #GP(0). Or that of reading the target.
    """
    opcode, registers = instruction.opcode, cpu.registers
    if opcode not in _CHECKED or (opcode == _INDIRECT and instruction.extension not in (_INDIRECT_CALL, 4)):
        return
    size = operand_size(cpu, instruction)
    if opcode == _INDIRECT:
        target = read_operand(cpu, instruction, size)
    elif _taken(cpu, instruction):
        target = _relative(registers.rip + instruction.length, instruction) & WIDTH_MASKS[size]
    else:
        return
    if target > registers.cs.limit:
        raise Fault(GP, 0)


def _return(cpu: Cpu, instruction: Instruction) -> Done:
    registers, stack = cpu.registers, current_stack(cpu)
    long = registers.in_64_bit_code
    size = 8 if long else operand_size(cpu, instruction)
    (target,) = pop(OperandMemory(cpu), stack, registers.rsp, size, 1)
    if not is_canonical(target) if long else target > registers.cs.limit:
        raise Fault(GP, 0)
    registers.rsp = stack.pointer(registers.rsp, registers.rsp + size + instruction.immediate)
    cpu.skip(instruction.length)
    registers.rip = target
    return Done.COMPLETE


def _relative(following: int, instruction: Instruction) -> int:
    bits = 8 * instruction.immediate_bytes
    displacement = instruction.immediate
    return following + displacement - (displacement >> bits - 1 << bits) & _ALL


def _count(cpu: Cpu, instruction: Instruction) -> int:
    return cpu.registers.rcx & WIDTH_MASKS[address_size(cpu, instruction)]


def _taken(cpu: Cpu, instruction: Instruction) -> bool:
    opcode, rflags = instruction.opcode, cpu.rflags
    if opcode in _SHORT_JUMPS or opcode in _NEAR_JUMPS:
        return condition(opcode & 15, rflags)
    if opcode == _JRCXZ:
        return _count(cpu, instruction) == 0
    if opcode in (_LOOP, _LOOPE, _LOOPNE):
        wanted = opcode == _LOOP or bool(rflags & _ZF) == (opcode == _LOOPE)
        return wanted and _count(cpu, instruction) != 1
    return True


_CHECKED = frozenset([*_SHORT_JUMPS, *_NEAR_JUMPS, *range(_LOOPNE, _JRCXZ + 1), _CALL, _JUMP, _JUMP_SHORT, _INDIRECT])
RULES = dict.fromkeys([*_CHECKED, _RETURN, _RETURN_POPPING], execute_near_branch)
