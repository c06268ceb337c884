"""What IRET checks and Unicorn does not (SDM volume 2, IRET)."""

from machine.cpu import FLAG_VM, Cpu
from machine.exceptions import GP, PF, Fault
from machine.opcodes import Instruction
from machine.paging import is_canonical

_PF_USER = 4


def check_iret(cpu: Cpu, instruction: Instruction) -> None:
    """Raise Fault if the IRET at RIP may not return. The rest of the checks are Unicorn's.

    In 64-bit mode the address returned to is checked before anything is loaded.

    Unicorn reads the frame as the supervisor, so in ring 3 it is looked at here.

    There is no virtual-8086 mode here: IRETD with VM in the flags to be loaded, which Unicorn obeys, is refused.
    """
    registers = cpu.registers
    base = 0 if registers.in_64_bit_code else registers.ss.base
    if registers.cpl == 3:
        _check_frame(cpu, base + registers.rsp, instruction)
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


def _check_frame(cpu: Cpu, address: int, instruction: Instruction) -> None:
    """Raise Fault (#PF) where ring 3 may not read what IRET pops: three words, in 64-bit mode five."""
    width = 8 if instruction.wide else 2 if instruction.operand_size_prefix else 4
    for index in range(5 if cpu.registers.in_64_bit_code else 3):
        at = address + width * index
        found = cpu.memory.look(at)
        if is_canonical(at) and (found is None or not found.user):
            raise Fault(PF, _PF_USER | (found is not None), at)
