"""The next instructions, where nothing but they themselves can stop the engine, so that it need not be entered."""

from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import ProcessorState
from machine.bus.ram import PAGE_SIZE, Ram
from machine.processor.code_reader import CodeReader
from machine.processor.step_hook import HookState


class Lookahead:
    """Looks at the instructions ahead of a stopped processor."""

    def __init__(self, ram: Ram, hook: HookState, registers: ProcessorState, code: CodeReader) -> None:
        self._ram = ram
        self._hook = hook
        self._registers = registers
        self._code = code

    def next_in(self, page: int) -> Instruction | None:
        """Return the next instruction if nothing but the instruction itself could stop the engine before it.

        The processor must have stopped at an instruction that changed neither ring nor mapping.

        Args:
            page: The linear page of that instruction.

        Returns:
            The instruction; None if the engine must be entered.
        """
        at = self._registers.linear_rip
        if at & -PAGE_SIZE != page or at == self._hook.breakpoint or not self._only_instructions_stop(1):
            return None
        return self._code.following(at)

    def passes(self, addresses: range, count: int) -> bool:
        """Report whether nothing but the instructions themselves would stop the engine.

        Args:
            addresses: The linear addresses of the next instructions.
            count: Their number.

        Returns:
            True if `Engine.execute` would do nothing but stop at each of them that is watched.
        """
        return self._hook.breakpoint not in addresses and self._only_instructions_stop(count)

    def _only_instructions_stop(self, count: int) -> bool:
        """Report what `passes` does, but for the breakpoint."""
        hook, ram = self._hook, self._ram
        if hook.retired + count > hook.deadline or hook.stepping or hook.watch_if:
            return False
        return not (hook.addresses or hook.flow or hook.debugging or ram.stale_code or ram.rewritten)
