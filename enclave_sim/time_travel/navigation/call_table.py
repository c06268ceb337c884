"""The calls of one function during a run: arguments, result, duration."""

import struct
from dataclasses import dataclass
from typing import Any

from enclave_sim.enclave.kernel.functions import Signature
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.ram import PAGE_SIZE

_REGISTERS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_MAX_RETURNS = 15
"""Return addresses that are watched at once; with the function's own, as many as a machine stops at."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function, by the System V ABI: integers and pointers."""

    position: Position
    """The position before its first instruction."""
    arguments: dict[str, int]
    """The arguments by parameter, as far as debugging information names them; else the six that there may be."""
    caller: int
    """The linear address to which it returns."""
    returned: Position | None
    """The position after the return; None if it has not returned."""
    result: int | None
    """RAX (EAX) after the return; None if it has not returned, or if it is known to return nothing."""

    @property
    def duration_ns(self) -> int | None:
        """Virtual time from the first instruction to the return; None if it has not returned."""
        return None if self.returned is None else self.returned.at_ns - self.position.at_ns


@dataclass(frozen=True, slots=True)
class _Open:
    call: FunctionCall
    stack: int
    """RSP at the first instruction, at the return address."""


class CallTable:
    """Finds the calls of functions in a timeline."""

    def __init__(self, timeline: Timeline[Any], visits: Visits) -> None:
        self._timeline = timeline
        self._visits = visits
        self._cpu = timeline.machine.cpu

    def of(self, address: int, signature: Signature | None) -> list[FunctionCall]:
        """See `Travel.calls`."""
        timeline, here = self._timeline, self._timeline.now
        opened: list[_Open] = []
        done: list[FunctionCall] = []
        try:
            timeline.go_to(Position(0))
            met = self._cpu.linear_rip == address
            while met or self._visits.run_to_next({address, *_returns(opened)}, limit=here):
                met, rip = False, self._cpu.linear_rip
                self._return(opened, done, rip, signature)
                if rip == address:
                    stack = self._cpu.registers.rsp
                    caller, *words = self._stack(stack)
                    arguments = self._arguments(words, signature)
                    opened.append(_Open(FunctionCall(timeline.now, arguments, caller, None, None), stack))
        finally:
            timeline.go_to(here)
        self._return(opened, done, self._cpu.linear_rip, signature)
        return sorted([*done, *(one.call for one in opened)], key=lambda call: call.position)

    def _return(self, opened: list[_Open], done: list[FunctionCall], rip: int, signature: Signature | None) -> None:
        """Complete the calls that have returned to an address, and those whose frames are gone."""
        registers = self._cpu.registers
        while opened and opened[-1].stack < registers.rsp and rip in _returns(opened):
            call = opened.pop().call
            if call.caller == rip:
                mask = 2**64 - 1 if registers.in_64_bit_code else 2**32 - 1
                result = registers.rax & mask if signature is None or signature.returns else None
                done.append(FunctionCall(call.position, call.arguments, call.caller, self._timeline.now, result))
                return
            done.append(call)

    def _arguments(self, words: list[int], signature: Signature | None) -> dict[str, int]:
        registers = self._cpu.registers
        if registers.in_64_bit_code:
            values = {name: int(getattr(registers, name)) for name in _REGISTERS}
        else:
            values = {f"argument {number}": word for number, word in enumerate(words, 1)}
        if signature is None or len(signature.parameters) > len(values):
            return values
        return dict(zip(signature.parameters, values.values(), strict=False))

    def _stack(self, rsp: int) -> tuple[int, ...]:
        """Return the words on the stack: the return address, and what would be six arguments in 32-bit code."""
        size = 8 if self._cpu.registers.in_64_bit_code else 4
        address, count = self._cpu.registers.ss.base + rsp, 7
        content = b""
        while len(content) < size * count:
            at = address + len(content)
            found = self._cpu.memory.look(at & -PAGE_SIZE)
            if found is None or found.physical + PAGE_SIZE > self._timeline.machine.ram.size:
                break
            length = min(PAGE_SIZE - at % PAGE_SIZE, size * count - len(content))
            content += self._timeline.machine.ram.read(found.physical + at % PAGE_SIZE, length)
        return struct.unpack(f"<{count}{'Q' if size == 8 else 'I'}", content.ljust(size * count, b"\0"))


def _returns(opened: list[_Open]) -> list[int]:
    """Return the addresses to which the innermost calls return."""
    return list(dict.fromkeys(one.call.caller for one in reversed(opened)))[:_MAX_RETURNS]
