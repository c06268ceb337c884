"""What an instruction does to the depth of calls: enough of the encoding to step over and out (SDM volume 2)."""

from enum import Enum

from machine.processor.cpu import Cpu

_LONGEST = 15


class Flow(Enum):
    """How an instruction goes on."""

    STRAIGHT = "straight"
    DEEPER = "deeper"
    """CALL, INT, or a repeated string instruction, whose repetitions are taken for one."""
    BACK = "back"
    """RET or IRET."""


_RETURNS = frozenset(["ret", "retf", "retfq", "iret", "iretd", "iretq"])
_CALLS = frozenset(["call", "lcall", "int", "int1", "int3"])


def flow_at(cpu: Cpu) -> tuple[Flow, int]:
    """That of the instruction at RIP, and the linear address behind it."""
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415 - only for those who step

    address = cpu.linear_rip
    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if cpu.registers.in_64_bit_code else CS_MODE_32)
    found = next(decoder.disasm(cpu.code_at(address), address, 1), None)
    if found is None:
        return Flow.STRAIGHT, address + 1
    name = found.mnemonic.split()
    if name[0] in _CALLS or name[0].startswith("rep"):
        return Flow.DEEPER, address + found.size
    return (Flow.BACK if name[-1] in _RETURNS else Flow.STRAIGHT), address + found.size


def callers_of(address: int) -> range:
    """Where a call may begin that returns to an address."""
    return range(address - _LONGEST, address - 1)
