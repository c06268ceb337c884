"""The effect of an instruction on the call depth, for stepping over and out (SDM volume 2)."""

from enum import Enum

from machine.processor.cpu import Cpu

_LONGEST = 15


class Flow(Enum):
    """The effect of an instruction on the call depth."""

    STRAIGHT = "straight"
    DEEPER = "deeper"
    """CALL, INT, or a repeated string instruction, whose repetitions are stepped over as one."""
    BACK = "back"
    """RET or IRET."""


_RETURNS = frozenset(["ret", "retf", "retfq", "iret", "iretd", "iretq"])
_CALLS = frozenset(["call", "lcall", "int", "int1", "int3"])


def flow_at(cpu: Cpu) -> tuple[Flow, int]:
    """Return the flow of the instruction at RIP, and the linear address after it."""
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415 - only stepping needs it

    address = cpu.linear_rip
    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if cpu.registers.in_64_bit_code else CS_MODE_32)
    found = next(decoder.disasm(cpu.code.at(address), address, 1), None)
    if found is None:
        return Flow.STRAIGHT, address + 1
    name = found.mnemonic.split()
    if name[0] in _CALLS or name[0].startswith("rep"):
        return Flow.DEEPER, address + found.size
    return (Flow.BACK if name[-1] in _RETURNS else Flow.STRAIGHT), address + found.size


def callers_of(address: int) -> range:
    """Return the addresses at which a call that returns to `address` may begin."""
    return range(address - _LONGEST, address - 1)
