"""Unicorn, entered with the registers of the stopped processor until the machine must act.

Before each entry, translations of code written since are dropped. If it may not fetch from a page, code_pages.py
decides how the page is executed.
"""

import ctypes

from unicorn import (
    UC_ARCH_X86,
    UC_ERR_FETCH_PROT,
    UC_MODE_64,
    Uc,
    x86_const,
)

from machine.architecture.decoding import misleading_prefixes
from machine.architecture.paging import SupervisorMemory
from machine.architecture.processor_state import HFLAG_BY_BLOCK, HFLAG_TF, SegmentRegister
from machine.architecture.saved_context import SavedContext
from machine.architecture.unicorn_ffi import emu_start, engine_handle
from machine.bus.bus import Bus
from machine.bus.ram import PAGE_SIZE, Ram
from machine.errors import UnicornStopped
from machine.processor.block_clock import BlockClock
from machine.processor.clock import Clock
from machine.processor.code_coverage import CodeCoverage
from machine.processor.code_pages import CodePages, map_ram
from machine.processor.code_reader import CodeReader
from machine.processor.engine_callbacks import Callbacks
from machine.processor.fetch_faults import FetchFaults
from machine.processor.lookahead import Lookahead
from machine.processor.paging_caches import PagingCaches
from machine.processor.stale_code import StaleCode
from machine.processor.step_hook import STRINGS, HookInPython, HookState, StepHook, Steps, Stop
from machine.processor.translations import Translations
from machine.processor.untranslatable import LONGEST, opcode_to_replace

_FLAG_TF, _FLAG_RF, _ALL = 1 << 8, 1 << 16, 2**64 - 1
_STOPS = tuple(Stop)
_PUSHF, _COMPARING = 0x9C, frozenset([0xA6, 0xA7, 0xAE, 0xAF])
_NOTING_FLAGS_EARLY = STRINGS - _COMPARING | {_PUSHF}
_CHANGES_OF_COUNTING = frozenset([Stop.WARM, Stop.BLOCK, Stop.EXAMINE])
_NOT_ENTERED = 0  # entering.h


class Engine:
    """One Unicorn with its hooks and callbacks.

    Args:
        ram: The RAM, mapped from physical address 0.
        bus: Answers accesses to ports and devices.
        ns_per_instruction: Virtual time per instruction, in ns.
        portable: True to use the hooks in Python instead of native code.
    """

    def __init__(self, ram: Ram, bus: Bus, ns_per_instruction: int, *, portable: bool) -> None:
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_cpu_model(x86_const.UC_CPU_X86_BROADWELL)  # the smallest model with SMEP and SMAP
        self.uc.ctl_exits_enabled(True)  # but none is set: looking up an end address, Unicorn would raise page faults
        map_ram(self.uc, ram)
        self._handle = engine_handle(self.uc)
        self._ram = ram
        self._translations = Translations(self.uc, ram, portable=portable)
        self._code_pages = CodePages(self.uc, ram, self._keep_flags)
        self.context = SavedContext(self.uc)
        self.registers = self.context.registers
        self._data_segments = tuple(getattr(self.registers, name) for name in ("es", "ss", "ds"))
        self._misled: tuple[str, str] | None = None
        """While a misleading instruction is executed: the segment that Unicorn takes, and the right one."""
        step_hook = StepHook(self.uc, ram, self.context, _portable_hook, portable=portable)
        self.native = step_hook.native
        self.hook = step_hook.state
        self._native_entry, self._hook_address = step_hook.enter, ctypes.addressof(step_hook.state)
        self._native_delivery = step_hook.deliver_known
        self._portable_hook = step_hook.fallback
        self._translations.charge_to(self.hook)
        self.clock = Clock(self.hook, ns_per_instruction)
        self.memory = SupervisorMemory(ram, self.registers)
        self.paging = PagingCaches(self.uc, self.registers, self.memory, step_hook.forget_pages)
        self.code = CodeReader(self._handle, self.registers, self.hook, self.give_back)
        self.ahead = Lookahead(ram, self.hook, self.registers, self.code)
        self._faults = FetchFaults(self.hook, self.registers, self.context, self.code)
        self._stale_code = StaleCode(
            ram,
            self._translations,
            self._code_pages,
            self.hook,
            self.context,
            engine=self._handle,
            give_back=self.give_back,
            flush_tlb=self.paging.flush_tlb,
            stop=self.clock.stop,
        )
        self.callbacks = Callbacks(
            self.uc,
            ram,
            bus,
            self.clock,
            keep_flags=self._keep_flags,
            hide_rewritten=self._code_pages.hide_rewritten,
            on_device_read=step_hook.on_device_read,
            on_device_write=step_hook.on_device_write,
        )
        self.block_clock: BlockClock | None = None
        """None with the portable hook."""
        if self.native:
            self.block_clock = BlockClock(
                self.uc,
                step_hook,
                self.registers,
                callbacks=self.callbacks,
                code_pages=self._code_pages,
                give_back=self.give_back,
            )
            self._stale_code.forget_blocks = self.block_clock.forget

    def execute(self) -> Stop:
        """Run until the machine must act.

        RF lasts for one instruction, which Unicorn does not implement, so RF is never passed to it. Raises
        UnicornStopped if Unicorn failed, and any exception that a device raised in a callback.

        Returns:
            Why the processor stopped.
        """
        enter, ram, pages = self._native_entry, self._ram, self._code_pages
        if enter is None or ram.stale_code or ram.rewritten or pages.unfetched or self._misled is not None:
            return self._execute(_NOT_ENTERED)
        entered = enter(self._handle, self._hook_address)
        if pages.hidden:
            pages.reveal()
        if entered < 0:
            self._end_entry(-1 - entered)
        if self.callbacks.failure is not None:
            self._raise_failure()
        return _STOPS[entered] if entered > 0 else self._execute(entered)

    def deliver_known(self) -> bool:
        """Deliver the INT that has just retired, with RIP after it. Return whether it was a known one (known.h)."""
        deliver = self._native_delivery
        return deliver is not None and bool(deliver(self._handle, self._hook_address))

    def _execute(self, entered: int) -> Stop:
        """Run until the machine must act, in any way.

        Args:
            entered: The result of `enter` (native/entering.h), if the engine has been entered once; else 0.

        Returns:
            As `execute`.
        """
        hook, ram, cr2, stop = self.hook, self._ram, self.context.cr2, None
        if entered == _NOT_ENTERED:
            hook.entry_retired, hook.entry_rflags, hook.entry_cr2 = hook.retired, hook.rflags, cr2.value
        else:
            stop = self._judge(-1 - entered, stepping=False)
            self._restore_cr2(stop)
        while stop is None:
            self._code_pages.look_at_rewritten()
            if ram.stale_code:
                self._stale_code.drop()
            stop = self._attempt()
            self._restore_cr2(stop)
        self.context.collect_simd_flags()
        if stop is Stop.REPEAT:
            self.registers.rip = self.registers.offset_of(hook.last)
            stop = Stop.DEADLINE
        if hook.entry_rflags & _FLAG_RF and hook.retired == hook.entry_retired:
            hook.rflags |= _FLAG_RF
        return stop

    def _restore_cr2(self, stop: Stop | None) -> None:
        """Restore CR2 unless the engine stopped at a page fault: Unicorn changes it even when it only reads code."""
        if stop is not Stop.INTERRUPT or not self._faults.page_fault:
            self.context.cr2.value = self.hook.entry_cr2

    def execute_misleading(self, prefixes: bytes) -> Stop:
        """Execute the instruction at RIP, which is `Action.MISLEADING`; the clock must stop the engine after it.

        Unicorn adds the base of the segment that it takes, so that segment gets the base of the right one meanwhile.

        Args:
            prefixes: The instruction's legacy prefixes.

        Returns:
            As `execute`.
        """
        self._misled = misleading_prefixes(prefixes)
        try:
            return self.execute()
        finally:
            self._misled = None

    def _attempt(self) -> Stop | None:
        """Enter the engine once. Return why it stopped; None if it must be entered again. Raises UnicornStopped."""
        hook = self.hook
        stepping = hook.stepping
        by_block = self.block_clock
        if by_block is not None and hook.retired >= hook.pause and not stepping and by_block.begin():
            try:
                status = self._enter(Steps.NONE)
            finally:
                by_block.leave()
            status = by_block.settle(status)
        else:
            status = self._enter(Steps.WHILE_IN_DEBT if stepping else Steps.NONE)
        return self._judge(status, stepping=bool(stepping))

    def _judge(self, status: int, *, stepping: bool) -> Stop | None:
        """Return why the engine stopped, or None if it must be entered again: the end of `_attempt`.

        Args:
            status: Unicorn's error number; 0 for none.
            stepping: The engine was stepping.

        Returns:
            As `_attempt`.

        Raises:
            UnicornStopped: Unicorn failed.
        """
        hook = self.hook
        if status == UC_ERR_FETCH_PROT:
            pages = self._pages_of_code()
            if any(map(self._code_pages.admit, pages)):
                return None
            if any(map(self._code_pages.guards, pages)):
                status = self._execute_guarded(pages)
            elif stepping or not self._faults.met_ahead():
                return Stop.NO_CODE
            else:
                hook.stepping = Steps.WHILE_IN_DEBT
                return None
        elif self._faults.page_fault and not stepping and self._faults.met_ahead():
            hook.stepping = Steps.WHILE_IN_DEBT
            return None
        elif (due := self._faults.due_before()) is not None:
            return due
        if status:
            raise UnicornStopped(f"Unicorn error {status} at rip {self.registers.rip:#x}")
        stop = _STOPS[hook.reason]
        return None if stop in _CHANGES_OF_COUNTING else stop

    def _enter(self, steps: Steps) -> int:
        """Enter the engine, with its registers written before and read back afterwards.

        Raises any exception that a device raised in a callback.

        Args:
            steps: How to enter it.

        Returns:
            Unicorn's error number; 0 for none.
        """
        hook, registers = self.hook, self.registers
        hook.reason, hook.stepping = Stop.HALT, steps
        if steps:
            hook.inhibited = registers.interrupts_inhibited
            registers.hflags |= HFLAG_TF
            if hook.rflags & _FLAG_TF:
                hook.stepping = Steps.OF_SOFTWARE
        if hook.by_block:
            registers.hflags |= HFLAG_BY_BLOCK
        bases = self._exchange_bases()
        self.give_back()
        status: int = emu_start(self._handle, registers.rip, 0, 0, 0)
        self._code_pages.reveal()
        self._end_entry(status)
        if self._misled is not None:
            registers.rip = registers.rip + registers.cs.base & _ALL
        for segment, base in reversed(bases):
            segment.base = base
        if self.callbacks.failure is not None:
            self._raise_failure()
        return status

    def _end_entry(self, status: int) -> None:
        """Read the registers from the engine if the hook has not done so."""
        if status or self.hook.reason == Stop.HALT:
            self.refresh()
        self.registers.wrap_rip()
        self.registers.hflags &= ~(HFLAG_TF | HFLAG_BY_BLOCK)

    def _raise_failure(self) -> None:
        """Raise the exception that a device raised in a callback.

        The engine may have looked for the next instruction on an absent page, which changes CR2.
        """
        self.context.cr2.value = self.hook.entry_cr2
        failure, self.callbacks.failure = self.callbacks.failure, None
        assert failure is not None
        raise failure

    def _exchange_bases(self) -> list[tuple[SegmentRegister, int]]:
        """Set the bases of ES, SS and DS to 0 in 64-bit mode, where Unicorn would add them for a segment override.

        Returns:
            The segments whose base has changed, with what it was before.
        """
        registers = self.registers
        if not registers.in_64_bit_code:
            return []
        found = [(segment, segment.base) for segment in self._data_segments if segment.base]
        for segment, _ in found:
            segment.base = 0
        if self._misled is not None:
            taken, right = (getattr(registers, name) for name in self._misled)
            found.append((taken, taken.base))
            taken.base = right.base
            registers.rip = registers.rip - registers.cs.base & _ALL  # with another base of CS, RIP is another, too
        return found

    def _pages_of_code(self) -> list[int]:
        """Return the physical addresses of the mapped pages that Unicorn may have refused to fetch from, in order.

        The first is that of RIP. The next one may contain the end of the instruction; Unicorn also translates ahead
        into it, but not from a guarded page.
        """
        at = self.registers.linear_rip
        found = self.memory.look(at)
        pages = [] if found is None else [found.physical]
        if not (pages and at % PAGE_SIZE <= PAGE_SIZE - LONGEST and self._code_pages.guards(pages[0])):
            found = self.memory.look((at | PAGE_SIZE - 1) + 1)
            if found is not None:
                pages.append(found.physical)
        return pages

    def _execute_guarded(self, code: list[int]) -> int:
        """Execute the instruction at RIP, and following harmless ones in the same guarded page (code_pages.py).

        If Unicorn would abort on the instruction at RIP, the instruction hook stops before it, because it is undefined.

        Args:
            code: The pages that may hold it, from `_pages_of_code`.

        Returns:
            Unicorn's error number; 0 for none.
        """
        at, pages = self.registers.linear_rip, self._code_pages
        steps = Steps.GUARDED if pages.guards(code[0]) else Steps.ONE
        opcode = opcode_to_replace(self.code.at(at), at)
        if opcode is None:
            self.hook.guarded = at
            self.hook.code_base = self.registers.cs.base
            with pages.lifted(None):
                return self._enter(steps)
        found = self.memory.look(opcode)
        assert found is not None, "its code was read"
        replaced = found.physical + opcode % PAGE_SIZE
        with pages.lifted(replaced):
            status = self._enter(Steps.ONE)
        self._ram.stale_code.append(range(replaced, replaced + 1))
        return status

    def cover(self, coverage: CodeCoverage | None) -> None:
        """See `Cpu.cover`."""
        self.hook.coverage = None if coverage is None else coverage.address
        if self._portable_hook is not None:
            self._portable_hook.coverage = coverage
        if self.block_clock is not None:
            self.block_clock.forget()

    def give_back(self) -> None:
        """Write the registers to the engine."""
        registers, hook = self.registers, self.hook
        registers.eflags = hook.rflags & ~_FLAG_RF
        hook.long_mode = registers.in_64_bit_code
        hook.mxcsr = self.context.mxcsr
        self.context.restore()

    def _keep_flags(self) -> None:
        """Keep the arithmetic flags of the running engine, in a callback within an instruction.

        In such a callback Unicorn forgets that the flags were computed before the instruction, and recomputes them from
        the result. Most instructions note that at their end; these do so before their accesses.
        """
        if self.hook.begun in _NOTING_FLAGS_EARLY:
            self.context.keep_flags()

    def refresh(self) -> None:
        """Read the registers from the engine, after it stopped without the hook."""
        self.context.save()
        self.hook.rflags = self.uc.reg_read(x86_const.UC_X86_REG_RFLAGS)


def _portable_hook(uc: Uc, state: HookState) -> HookInPython:
    """Attach the hook in Python, which hosts with native code do not import."""
    from machine.processor.portable_hook import PortableHook  # noqa: PLC0415

    return PortableHook(uc, state)
