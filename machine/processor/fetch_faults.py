"""Faults of fetches: whether the engine stopped at one, and what precedes it.

Unicorn translates ahead, and fetches an instruction before the instruction hook sees it.
"""

from machine.architecture.exceptions import GP, PF
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import ProcessorState
from machine.architecture.saved_context import SavedContext
from machine.processor.code_reader import CodeReader
from machine.processor.step_hook import HookState, Stop

_FLAG_IF = 1 << 9


class FetchFaults:
    """The last stop of one engine, as a fault that a fetch may have raised."""

    def __init__(self, hook: HookState, registers: ProcessorState, context: SavedContext, code: CodeReader) -> None:
        self._hook = hook
        self._registers = registers
        self._context = context
        self._code = code

    @property
    def page_fault(self) -> bool:
        """True if the engine stopped at a page fault, not at INT 14."""
        hook = self._hook
        return hook.reason == Stop.INTERRUPT and hook.vector == PF and not self._context.interrupt_met[0]

    def met_ahead(self) -> bool:
        """Report whether the failed fetch was ahead of the instruction at RIP, which may never get there.

        Returns:
            True if the instruction at RIP itself can be fetched and has not begun.
        """
        at = self._registers.linear_rip
        return self._hook.last != at and self._code.instruction_at(at) is not None

    def due_before(self) -> Stop | None:
        """Return why the hook would have stopped the engine before the instruction whose fetch has faulted.

        Interrupts and breakpoints precede the fetch (SDM volume 3, 6.9).

        Returns:
            The stop; None if there is none, or the engine did not stop at such a fault.
        """
        hook, at = self._hook, self._registers.linear_rip
        if not self._is_of_fetch(at):
            return None
        if hook.retired >= hook.deadline:
            return Stop.DEADLINE
        if hook.watch_if and hook.rflags & _FLAG_IF:
            return Stop.INTERRUPTS_ENABLED
        if at in hook.address[: hook.addresses] and (hook.retired, at) != (hook.passing, hook.passing_address):
            return Stop.ADDRESS
        if at == hook.pass_once:
            return None
        if at == hook.breakpoint:
            return Stop.BREAKPOINT
        return Stop.DEBUG if hook.debugging and at in hook.debug_address else None

    def _is_of_fetch(self, at: int) -> bool:
        """Report whether the engine stopped at #PF or #GP of the instruction at `at`, which had not begun."""
        hook = self._hook
        faulted = hook.reason == Stop.INTERRUPT and hook.vector in (PF, GP) and not self._context.interrupt_met[0]
        begun = at == hook.last and hook.retired != hook.entry_retired
        return faulted and not begun and is_canonical(at)  # otherwise the branch to it has faulted
