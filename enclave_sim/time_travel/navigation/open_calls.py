"""Calls and interrupts that have not returned yet, collected while a run stops at calls and returns.

A stop before each CALL and RET would be too slow. So a search chooses a floor, the RSP of the frame that it asks for,
and stops only at calls above it and at returns not below it (`Machine.stop_at`). Calls from that frame downwards return
without a stop. Interrupts and their returns are events.
"""

from typing import Any, NamedTuple

from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.ram import PAGE_SIZE
from machine.events import Event, InterruptDelivered, InterruptReturned, RingTransition

_CALLS, _GROUP_5 = frozenset([0xE8, 0x9A]), 0xFF
_RETURNS, _IRET = frozenset([0xC2, 0xC3, 0xCA, 0xCB]), 0xCF


def returns_from_interrupt(event: Event) -> bool:
    """Report whether an interrupt returned, within its ring or to another one."""
    return isinstance(event, InterruptReturned) or (
        isinstance(event, RingTransition) and event.cause == "interrupt_return"
    )


class Call(NamedTuple):
    """A CALL."""

    position: Position
    """The position before it."""
    rsp: int
    """RSP before it."""
    after: int
    """The linear address to which it returns."""


class Interrupt(NamedTuple):
    """An interrupt or exception."""

    seq: int
    """Its event `interrupt_delivered`."""


class OpenCalls:
    """The open calls and interrupts, since a position of a run."""

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._timeline = timeline
        self._cpu = timeline.machine.cpu
        self._seen = timeline.seen
        self._open: list[Call | Interrupt] = []

    @property
    def innermost(self) -> Call | Interrupt | None:
        """The last one that is open."""
        return self._open[-1] if self._open else None

    @property
    def interrupted(self) -> bool:
        """True if an interrupt is open."""
        return any(isinstance(one, Interrupt) for one in self._open)

    def follow_events(self) -> None:
        """Take the events since the last call into account."""
        for event in self._timeline.monitor.events[self._seen : self._timeline.seen]:
            if isinstance(event, InterruptDelivered):
                self._open.append(Interrupt(event.seq))
            elif returns_from_interrupt(event):
                while self._open and not isinstance(self._open.pop(), Interrupt):
                    pass
        self._seen = self._timeline.seen

    def meet(self) -> bool:
        """Take the instruction at RIP into account, which is about to be executed.

        Returns:
            True if it returns from a function or handler that was entered before this object was made.
        """
        self.follow_events()
        cpu, rsp = self._cpu, self._cpu.registers.rsp
        found = cpu.code.instruction_at(cpu.linear_rip)
        if found is None:
            return False
        if found.opcode == _IRET:
            return not self.interrupted
        if found.opcode in _CALLS or (found.opcode == _GROUP_5 and found.modrm >> 4 & 3 == 1):
            self._open.append(Call(self._timeline.now, rsp, cpu.linear_rip + found.length))
        if found.opcode not in _RETURNS:
            return False
        target = self._return_address(rsp)
        while self._open and isinstance(last := self._open[-1], Call) and (last.rsp <= rsp or last.after == target):
            self._open.pop()
            if last.rsp > rsp:
                return False
        return not self._open

    def _return_address(self, rsp: int) -> int | None:
        """Return the linear address that a near RET at RSP takes."""
        cpu = self._cpu
        size = 8 if cpu.registers.in_64_bit_code else 4
        address = cpu.registers.ss.base + rsp
        found = cpu.memory.look(address & -PAGE_SIZE)
        at = address % PAGE_SIZE
        if found is None or at + size > PAGE_SIZE or found.physical + PAGE_SIZE > self._timeline.machine.ram.size:
            return None
        return (
            int.from_bytes(self._timeline.machine.ram.read(found.physical + at, size), "little") + cpu.registers.cs.base
        )
