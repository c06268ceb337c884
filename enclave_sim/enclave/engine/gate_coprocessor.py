"""The guest engine as the machine's coprocessor, executed in place of the UD2 in the ring-3 gate.

Registers get the reason for a departure, and the gate's code does the rest: INT 80h, or the exception that corresponds
to the trap (firmware/src/gate.S).
"""

from collections.abc import Callable

from enclave_sim import events
from enclave_sim.enclave.engine.contract import GuestEngine, HostCall, Preempted, Returned, TrapKind, Trapped
from enclave_sim.errors import KernelDied
from enclave_sim.memory_map import region
from enclave_sim.reasons import reason
from enclave_sim.specification import HostFunction
from machine.execution.coprocessor import Completed
from machine.journal import Journal
from machine.processor.clock import Clock
from machine.state import Stateful

CALL, READ, WRITE, ILLEGAL, DIVIDE = range(5)
_NAMES = {int(function): function.name.lower() for function in HostFunction}


class GateCoprocessor(Stateful):
    """Runs the guest whenever ring 3 reaches the gate."""

    STATE = ("_waiting_for",)
    WIRING = ("address", "_engine", "_clock", "_emit", "_traps", "on_stay")

    def __init__(self, address: int, engine: GuestEngine, clock: Clock, journal: Journal) -> None:
        self.address = address
        self._engine = engine
        self._clock = clock
        self._emit = journal.emit
        self.on_stay: Callable[[int], None] | None = None
        """Called with the length in ns of each stay in the guest, before its events."""
        self._waiting_for: int | None = None
        """The pending host call."""
        self._traps = {
            TrapKind.MEMORY_OUT_OF_BOUNDS: (READ, region("heap").end),
            TrapKind.STACK_OVERFLOW: (WRITE, region("guest_stack").base - 1),
            TrapKind.ILLEGAL: (ILLEGAL, 0),
            TrapKind.DIVIDE: (DIVIDE, 0),
        }

    def execute(self, operand: int, budget_ns: int) -> Completed | None:
        """Resume the guest with the answer to its host call, until it needs the machine. None if it was preempted."""
        self._engine.catch_up()
        if self._waiting_for is not None:
            self._emit(events.HostReturned, self._waiting_for, operand)
            self._waiting_for = None
        try:
            departure = self._engine.resume(operand, budget_ns)
        except ValueError as error:
            raise KernelDied(f"the kernel entered a guest that cannot continue: {reason(error)}") from None
        self._clock.spend(departure.elapsed_ns)
        if self.on_stay is not None:
            self.on_stay(departure.elapsed_ns)
        match departure:
            case HostCall(number, argument):
                self._waiting_for = number
                self._emit(events.HostCalled, number, _NAMES[number], argument)
                return Completed(number, CALL, argument)
            case Preempted():
                return None
            case Returned():
                return Completed(HostFunction.RETURNED, CALL, 0)
            case Trapped(kind, detail):
                self._emit(events.GuestTrapped, kind.name.lower(), detail)
                code, address = self._traps[kind]
                return Completed(0, code, address)
