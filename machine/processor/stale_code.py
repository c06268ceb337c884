"""Code that RAM no longer holds: when its translations are dropped.

`Ram.stale_code` has the ranges written, and translations.py removes them from Unicorn.
"""

import ctypes
from collections.abc import Callable

from unicorn import UC_PROT_EXEC

from machine.architecture.saved_context import SavedContext
from machine.architecture.unicorn_ffi import vmem_translate
from machine.bus.ram import PAGE_SIZE, Ram
from machine.processor.code_pages import CodePages
from machine.processor.flat_mode import load_flat_mode
from machine.processor.step_hook import HookState, Steps
from machine.processor.translations import Translations

_TRANSLATING_SINGLY = (Steps.WHILE_IN_DEBT, Steps.GUARDED)


class StaleCode:
    """Drops the translations of one engine before they are executed again.

    Args:
        ram: Reports when code is written.
        translations: The translations.
        code_pages: Makes the stores of instructions to pages with code.
        hook: The state of the instruction hook.
        context: The registers.
        engine: The handle of the engine.
        give_back: Writes the registers to the engine.
        flush_tlb: Flushes all address translations.
        stop: Stops the processor before its next instruction.
    """

    def __init__(
        self,
        ram: Ram,
        translations: Translations,
        code_pages: CodePages,
        hook: HookState,
        context: SavedContext,
        *,
        engine: int,
        give_back: Callable[[], None],
        flush_tlb: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self._ram = ram
        self._translations = translations
        self._code_pages = code_pages
        self._hook = hook
        self._context = context
        self._engine = engine
        self._give_back = give_back
        self._flush_tlb = flush_tlb
        self._stop = stop
        self._physical = ctypes.c_uint64()
        self.forget_blocks: Callable[[], None] = lambda: None
        """Called when translations are dropped."""
        ram.on_stale_code = self._on_written

    def drop(self) -> None:
        """Drop translations of written RAM, and flush Unicorn's TLB, as a processor may at any time.

        Unicorn takes linear addresses here, so paging is briefly disabled.
        """
        state = self._context.content
        load_flat_mode(self._context.registers)
        self._give_back()
        self._flush_tlb()
        self._translations.drop()
        self.forget_blocks()
        self._context.content = state
        self._flush_tlb()

    def _on_written(self) -> None:
        """Stop before the next instruction to drop translations, or drop them at once if possible."""
        if not self._drops_at_once():
            self._stop()

    def _drops_at_once(self) -> bool:
        """Drop translations that an instruction overwrites in its own page, if the engine steps.

        When stepping, the engine translates the next instruction after this one. Otherwise the next one may be part of
        the current block.

        Returns:
            True if they were dropped.
        """
        hook, stale, pages = self._hook, self._ram.stale_code, self._code_pages
        if not pages.storing or pages.hidden or hook.stepping not in _TRANSLATING_SINGLY or len(stale) > 1:
            return False
        page, linear = stale[0].start & -PAGE_SIZE, hook.last & -PAGE_SIZE
        physical = self._physical
        if vmem_translate(self._engine, linear, UC_PROT_EXEC, ctypes.addressof(physical)) or physical.value != page:
            return False
        self._translations.drop(linear - page)
        return True
