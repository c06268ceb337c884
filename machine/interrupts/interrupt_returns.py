"""Detection of returns from interrupts within a ring, which no ring transition shows."""

import msgspec

from machine.events import InterruptReturned
from machine.journal import Journal
from machine.processor.cpu import Cpu
from machine.processor.step_hook import NEVER
from machine.state import Stateful


class Entered(msgspec.Struct, frozen=True, gc=False):
    """An interrupt taken without a change of ring, which has not returned yet."""

    vector: int
    return_address: int
    linear: int
    """The linear address of the return."""
    rsp: int


class InterruptReturns(Stateful):
    """A stack of entered interrupts; the instruction hook stops at the return address of the last one."""

    STATE = ("_entered",)
    WIRING = ("_cpu", "_journal")

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal
        self._entered: list[Entered] = []

    def entered(self, vector: int, return_address: int, linear: int, rsp: int) -> None:
        """Add an interrupt that was taken into the same ring.

        Args:
            vector: 0 to 255.
            return_address: RIP to which it will return.
            linear: The linear address of that.
            rsp: RSP after the return.
        """
        self._entered.append(Entered(vector, return_address, linear, rsp))
        self.watch()

    def watch(self) -> None:
        """Set the hook's breakpoint to the return address of the last one."""
        self._cpu.hook.breakpoint = self._entered[-1].linear if self._entered else NEVER

    def forget(self) -> None:
        """Remove all interrupts: after a change of ring, none of them will return."""
        if self._entered:
            self._entered.clear()
            self.watch()

    def look(self) -> bool:
        """Record the interrupts that return to the current RIP and RSP; return whether there were any."""
        registers, found = self._cpu.registers, False
        while self._entered:
            last = self._entered[-1]
            if (last.return_address, last.rsp) != (registers.rip, registers.rsp):
                break
            found = True
            self._entered.pop()
            self.watch()
            self._journal.emit(InterruptReturned, last.vector, last.return_address)
        return found
