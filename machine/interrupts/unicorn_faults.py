"""Conversion of Unicorn's exceptions to those of the manual.

Unicorn checks that an address is canonical only when it is used, and then always raises #GP at the instruction that
uses it. By the manual, the branch to such an address faults (SDM volume 2, JMP, CALL, RET), and an access to the stack
segment raises #SS (SDM volume 3, 6.15, interrupt 12).
"""

from machine.architecture.control_registers import CR0_EM, CR0_TS, CR4_OSFXSR
from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import GP, NM, PF, SS, UD, WITH_ERROR_CODE, Fault
from machine.architecture.opcodes import Action
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.instructions.accesses import accesses, linear
from machine.interrupts.unfetched import fetch_fault
from machine.processor.cpu import Cpu

_LOW = 0xFFFF_FFFF
_MODIFIES, _UNDEFINED = int(Action.MODIFIES), int(Action.UNDEFINED)
_MOVBE_ADX, _VEX = (0x0F38F0, 0x0F38F6), 0xC43800
_WRITE, _FETCH = 2, 16
_RETURN_NEAR, _RETURN_NEAR_POPPING = 0xC3, 0xC2


def exception_met(cpu: Cpu, vector: int, error_code: int) -> Fault:
    """Convert an exception reported by Unicorn, and uncount its instruction.

    Args:
        cpu: The processor, with RIP at the faulting instruction.
        vector: The vector that Unicorn reported.
        error_code: Its error code.

    Returns:
        The Fault that the manual names.
    """
    registers, branched = cpu.registers, False
    if vector == GP and error_code == 0 and registers.in_64_bit_code:
        if not is_canonical(registers.rip):
            branched = True
            _take_back_branch(cpu)
        elif _leaves_by_the_stack(cpu):
            vector = SS
    elif vector == NM and (registers.cr[0] & CR0_EM or not registers.cr[4] & CR4_OSFXSR):
        vector = UD  # of SSE, which is all that Unicorn raises it for
    take_back(cpu, branched=branched)
    earlier = fetch_fault(cpu) if vector in (UD, NM, GP) else None
    if earlier is not None:
        return earlier
    address = None
    if vector == PF:
        error_code, address = _page_fault(cpu, error_code)
    return Fault(vector, error_code if vector in WITH_ERROR_CODE else None, address)


def mistaken_for_sse(cpu: Cpu, vector: int) -> Instruction | None:
    """Return the instruction at RIP if Unicorn refuses it only because of CR0.EM or CR0.TS, which do not apply to it.

    Args:
        cpu: The processor.
        vector: The vector that Unicorn reported.

    Returns:
        MOVBE, ADCX, ADOX, or an instruction of BMI1 or BMI2; otherwise None.
    """
    if vector not in (UD, NM) or not cpu.registers.cr[0] & (CR0_EM | CR0_TS) or cpu.context.interrupt_met[0]:
        return None
    instruction = cpu.code.instruction_at(cpu.linear_rip)
    if instruction is None or instruction.action & _UNDEFINED:
        return None
    return instruction if instruction.opcode in _MOVBE_ADX or instruction.opcode >= _VEX else None


def _page_fault(cpu: Cpu, error_code: int) -> tuple[int, int]:
    """Return error code and address of a page fault.

    A fault of a read-and-written operand is a write fault, but Unicorn reports a read. Outside 64-bit mode Unicorn
    sign-extends the target of a branch.
    """
    registers = cpu.registers
    if not registers.in_64_bit_code:
        registers.cr[2] &= _LOW
    if not error_code & _FETCH and _modifies_memory(cpu):
        error_code |= _WRITE
    return error_code, registers.cr[2]


def _modifies_memory(cpu: Cpu) -> bool:
    instruction = cpu.code.instruction_at(cpu.linear_rip)
    return (
        instruction is not None
        and bool(instruction.action & _MODIFIES)
        and isinstance(instruction.operand, MemoryOperand)
    )


def take_back(cpu: Cpu, *, branched: bool = False) -> None:
    """Undo the count and the flags of the faulting instruction at RIP.

    It was counted if its execution, not only its fetch, had begun since the engine was entered: before that, a jump to
    itself may have been executed at the same address. Unicorn computes the arithmetic flags before each instruction
    with a hook, but on a fault it treats them as uncomputed flags of the previous instruction. The computed flags are
    in `cc_src`, unless the instruction has already changed its flags: instructions that write memory afterwards do, and
    the instruction hook keeps the flags for them. Without a hook Unicorn's flags are right.

    Args:
        cpu: The processor.
        branched: The instruction is a branch to a non-canonical address, which may have been executed before the engine
            was entered.
    """
    hook = cpu.hook
    if cpu.linear_rip == hook.last and (branched or hook.retired != hook.entry_retired):
        hook.retired -= 1
        if hook.flags_right:
            return
        before = hook.flags_before if _modifies_memory(cpu) else cpu.registers.cc_src
        cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | before & ARITHMETIC_FLAGS


def _take_back_branch(cpu: Cpu) -> None:
    """Reset RIP to the JMP or RET to a non-canonical address, and RSP to its value before it."""
    registers, hook = cpu.registers, cpu.hook
    instruction = cpu.code.instruction_at(hook.last)
    if instruction is None:
        return
    registers.rip = hook.last
    if instruction.opcode in (_RETURN_NEAR, _RETURN_NEAR_POPPING):
        registers.rsp = registers.rsp - 8 - instruction.immediate & 2**64 - 1


def _leaves_by_the_stack(cpu: Cpu) -> bool:
    """Return whether the instruction's first non-canonical access is to the stack segment."""
    registers = cpu.registers
    for access in accesses(cpu, cpu.code.instruction_at(cpu.linear_rip)):
        first = linear(registers, access)
        if not (is_canonical(first) and is_canonical(first + access.size - 1 & 2**64 - 1)):
            return access.segment == "ss"
    return False
