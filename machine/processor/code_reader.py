"""Code as fetched by the processor: reading and decoding."""

import ctypes
from collections.abc import Callable

from unicorn import UC_PROT_EXEC

from machine.architecture.decoding import Instruction, decode
from machine.architecture.processor_state import DEFAULT_32, HFLAG_CODE_64, ProcessorState
from machine.architecture.unicorn_ffi import vmem_read
from machine.bus.ram import PAGE_SIZE
from machine.processor.step_hook import PAGES, HookState

_LONGEST_INSTRUCTION, _MAX_READ, _KNOWN = 15, 32, 1 << 63


class CodeReader:
    """Reads code by linear address.

    Args:
        engine: The handle of the engine.
        registers: Its registers while it is stopped.
        hook: The state of its instruction hook.
        give_back: Called before each read to give the engine the registers, because the ring determines fetch
        permissions.
    """

    def __init__(self, engine: int, registers: ProcessorState, hook: HookState, give_back: Callable[[], None]) -> None:
        self._engine = engine
        self._registers = registers
        self._hook = hook
        self._hook_code, self._hook_pages = ctypes.addressof(hook.code), hook.pages
        self._give_back = give_back
        self._code = ctypes.create_string_buffer(_MAX_READ)

    def at(self, address: int, length: int = _LONGEST_INSTRUCTION) -> bytes:
        """Return up to `length` bytes of code, as the processor would fetch them; fewer before a page without code."""
        self._give_back()
        while length:
            if not vmem_read(self._engine, address, UC_PROT_EXEC, self._code, length):
                return self._code.raw[:length]
            to_the_end = -address % PAGE_SIZE
            length = to_the_end if 0 < to_the_end < length else 0
        return b""

    def instruction_at(self, address: int) -> Instruction | None:
        """Decode the instruction at a linear address; None if it is incomplete."""
        rest = -address % PAGE_SIZE
        if 0 < rest < _LONGEST_INSTRUCTION:  # reading the next page sets its accessed flag
            found = self._decode(self.at(address, rest))
            if found is not None:
                return found
        return self._decode(self.at(address))

    def watched_instruction(self) -> Instruction | None:
        """Decode the instruction at which the hook stopped; None if it extends into a page that cannot be fetched."""
        found = self._decode(ctypes.string_at(self._hook_code, self._hook.code_size))
        # Unicorn reported the size, and may have rejected the instruction before its end
        return self.instruction_at(self._registers.linear_rip) if found is None else found

    def following(self, address: int) -> Instruction | None:
        """Decode the instruction at a linear address in the page of the instruction at which the engine stopped.

        Ring and mapping must be those of that stop.

        Args:
            address: The linear address.

        Returns:
            The instruction; None if it may extend into the next page.
        """
        if address % PAGE_SIZE > PAGE_SIZE - _LONGEST_INSTRUCTION:
            return None
        return self._decode(self.in_page(address, _LONGEST_INSTRUCTION))

    def in_page(self, address: int, most: int) -> bytes:
        """Return code from a linear address as `following` reads it.

        Args:
            address: The linear address.
            most: The number of bytes, at most 32; fewer are returned at the end of the page.

        Returns:
            The bytes.
        """
        page, offset = divmod(address, PAGE_SIZE)
        length, known = min(most, PAGE_SIZE - offset), page % PAGES * 2
        if self._hook_pages[known] == page | _KNOWN:
            return ctypes.string_at(self._hook_pages[known + 1] + offset, length)
        if vmem_read(self._engine, address, UC_PROT_EXEC, self._code, length):
            return b""
        return self._code.raw[:length]

    def _decode(self, code: bytes) -> Instruction | None:
        registers = self._registers
        if registers.hflags & HFLAG_CODE_64:
            return decode(code)
        return decode(code, False, bool(registers.cs.flags & DEFAULT_32))
