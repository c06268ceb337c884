"""Watches for the return of interrupts taken within ring 0, which no change of the ring tells of."""

from dataclasses import dataclass

from machine.events import InterruptReturned
from machine.journal import Journal
from machine.processor.cpu import Cpu
from machine.processor.step_hook import NEVER
from machine.state import Stateful


@dataclass(frozen=True, slots=True)
class Entered:
    """An interrupt within ring 0 whose return is waited for."""

    vector: int
    return_address: int
    linear: int
    """The linear address of the return."""
    rsp: int


class InterruptReturns(Stateful):
    """A stack of the interrupts entered; the instruction hook stops where the last of them will return to."""

    STATE = ("_entered",)
    WIRING = ("_cpu", "_journal")

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal
        self._entered: list[Entered] = []

    def entered(self, vector: int, return_address: int, linear: int, rsp: int) -> None:
        """An interrupt was taken at this place, with this stack pointer, into the same ring."""
        self._entered.append(Entered(vector, return_address, linear, rsp))
        self.watch()

    def watch(self) -> None:
        """Stop where the last of them will return to."""
        self._cpu.hook.breakpoint = self._entered[-1].linear if self._entered else NEVER

    def forget(self) -> None:
        """The ring changed: nothing entered before returns any more."""
        self._entered.clear()
        self.watch()

    def look(self) -> bool:
        """Record what has returned to where the processor is; whether anything has."""
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
