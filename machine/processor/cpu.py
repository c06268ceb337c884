"""The stopped processor, for the machine and its observers.

Unicorn executes instructions and performs segmentation, paging and ring checks (engine.py). While it is stopped, its
registers are in `Cpu.registers` (processor_state.py), which may be changed freely; `Engine.execute` writes them back
and continues.
"""

import ctypes
from collections.abc import Callable

from unicorn import x86_const

from machine.architecture.cpuid import Switches
from machine.architecture.processor_state import GENERAL_REGISTERS, SEGMENT_REGISTERS
from machine.bus.bus import Bus
from machine.bus.ram import Ram
from machine.processor.code_coverage import CodeCoverage
from machine.processor.debug_registers import DebugRegisters
from machine.processor.engine import Engine
from machine.processor.step_hook import STATE_BYTES
from machine.processor.time_stamp_counter import TimeStampCounter
from machine.state import State

_LONGEST_ACCESS = 64
"""Bytes of an access of Unicorn, at most."""
EFER_LMA = 1 << 10
FLAG_TF, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_VM, FLAG_AC = 1 << 8, 1 << 9, 1 << 14, 1 << 16, 1 << 17, 1 << 18
_DEBUG_REGISTERS = ("DR0", "DR1", "DR2", "DR3", "DR6", "DR7")
_IN_STATE = {
    **{name.upper(): name for name in (*GENERAL_REGISTERS, "rip", "efer", "cr3")},
    **{f"CR{number}": number for number in (0, 2, 4)},
}


class Cpu:
    """One x86-64 processor, connected to RAM and a bus.

    `registers` is its state while it is stopped. `hook` is the state of the instruction hook: the instruction count,
    the conditions to stop at, and RFLAGS. `memory` accesses linear memory as the processor itself does.
    """

    def __init__(self, ram: Ram, bus: Bus, ns_per_instruction: int = 1, *, portable: bool = False) -> None:
        self.ram = ram
        self.bus = bus
        engine = self.engine = Engine(ram, bus, ns_per_instruction, portable=portable)
        self.context, self.registers, self.hook = engine.context, engine.registers, engine.hook
        self.clock, self.memory, self.code, self.callbacks = engine.clock, engine.memory, engine.code, engine.callbacks
        self.time_stamp_counter = TimeStampCounter(self.clock)
        self.cpuid_switches: Callable[[], Switches] = Switches
        """Returns the CPUID bits switched by software."""
        self.coverage: CodeCoverage | None = None
        self._notes = False
        """The notes about executed code, if somebody asks for them: see `cover`."""
        self.debug = DebugRegisters(self.registers, self.hook, self.memory, self.clock, self.callbacks)

    # Registers

    @property
    def rip(self) -> int:
        """The instruction pointer."""
        return self.registers.rip

    @property
    def linear_rip(self) -> int:
        """The linear address of the next instruction, as the instruction hook sees it."""
        return self.registers.linear_rip

    @property
    def rflags(self) -> int:
        """The flags."""
        return self.hook.rflags

    @rflags.setter
    def rflags(self, value: int) -> None:
        self.hook.rflags = value

    def read_register(self, name: str) -> int:
        """Return any register by its manual name; of a segment register its selector. Slow: for inspection only."""
        known = _IN_STATE.get(name)
        if isinstance(known, int):
            return int(self.registers.cr[known])
        if known is not None:
            return int(getattr(self.registers, known))
        if name == "RFLAGS":
            return self.hook.rflags
        if name.lower() in SEGMENT_REGISTERS:
            return int(getattr(self.registers, name.lower()).selector)
        if name in _DEBUG_REGISTERS:
            return self.debug.read(int(name[2]))
        if name == "MXCSR":
            return self.context.mxcsr
        self.engine.give_back()
        value = self.engine.uc.reg_read(getattr(x86_const, f"UC_X86_REG_{name}"))
        return value if isinstance(value, int) else int(value[1])

    def read_table_register(self, name: str) -> tuple[int, int, int]:
        """Return selector, base and limit of GDTR, IDTR, LDTR or TR."""
        register = getattr(self.registers, name.lower())
        return register.selector, register.base, register.limit

    def write_register(self, name: str, value: int) -> None:
        """Set a general register, RIP, RFLAGS or one stored only in Unicorn, such as XMM0, by its manual name."""
        if name == "RFLAGS":
            self.rflags = value
        elif name.lower() in GENERAL_REGISTERS or name == "RIP":
            setattr(self.registers, name.lower(), value)
        elif name == "MXCSR":
            self.context.mxcsr = value
        else:
            self.engine.give_back()
            self.engine.uc.reg_write(getattr(x86_const, f"UC_X86_REG_{name}"), value)
            self.context.save()

    def read_msr(self, number: int) -> int:
        """Return a model-specific register that Unicorn has."""
        self.engine.give_back()
        return int(self.engine.uc.msr_read(number))

    def write_msr(self, number: int, value: int) -> None:
        """Set a model-specific register that Unicorn has."""
        self.engine.give_back()
        self.engine.uc.msr_write(number, value)
        self.context.save()

    def set_privilege(self, cpl: int) -> None:
        """Set the current privilege level, after CS and SS were loaded."""
        self.registers.follow_segments(cpl)

    def skip(self, length: int) -> None:
        """Retire the instruction at RIP, which the machine executed instead of Unicorn; `length` is in bytes."""
        at = self.linear_rip
        self.retire(at)
        if self.coverage is not None:
            self.coverage.end(at + length)
        self.registers.advance(length)

    def skip_several(self, count: int, length: int) -> None:
        """Retire `count` consecutive instructions at RIP, of `length` bytes each, like `skip`."""
        first = self.linear_rip
        if self.coverage is not None:
            for at in range(first, first + (count - 1) * length, length):
                self.coverage.begin(self.hook.last if at == first else at - length, at)
                self.coverage.end(at + length)
        self.retire(first + (count - 1) * length)
        self.hook.retired += count - 1
        self.registers.advance(count * length)

    def retire(self, at: int) -> None:
        """Count an instruction that the machine executed instead of Unicorn, and that has loaded RIP itself.

        This also ends the inhibition of interrupts by a preceding STI or MOV SS.

        Args:
            at: The linear address of the instruction.
        """
        self.registers.end_inhibition()
        if self.coverage is not None:
            self.coverage.begin(self.hook.last, at)
        self.hook.last = at
        self.hook.retired += 1

    def watch_memory(
        self, where: range, seen: Callable[[bool, int, int], None], *, reads: bool = True
    ) -> Callable[[], None]:
        """Report each access by an instruction to a physical range.

        Unicorn drops its translated code when this begins and when it ends.

        Args:
            where: Physical addresses.
            seen: Called with True for a write, the physical address and the size in bytes.
            reads: False to report only writes. The run is faster then, and with a narrow range, too.

        Returns:
            A function that ends the reports.
        """

        def accessed(writes: bool, address: int, size: int) -> None:
            if address < where.stop and where.start < address + size and (writes or reads):
                seen(writes, address, size)

        first = max(where.start - _LONGEST_ACCESS + 1, 0)
        return self.callbacks.watch_memory(accessed, range(first, where.stop), reads=reads)

    def watch_blocks(self, seen: Callable[[int, int], None]) -> Callable[[], None]:
        """Report each block of code before it is executed; `watch_memory` must report accesses meanwhile.

        A block begins where the processor is entered and at each target of a branch, and reaches at most to the next
        branch. An instruction that the machine executes itself may be in none.

        Args:
            seen: Called with the linear address of the first instruction, and the size in bytes.

        Returns:
            A function that ends the reports.
        """
        return self.callbacks.watch_blocks(seen)

    def cover(self, coverage: CodeCoverage | None) -> None:
        """Note in an object which code is executed, from now on; None not to."""
        self.coverage = coverage
        self.engine.cover(coverage)

    def note_access(self, writes: bool, physical: int, size: int) -> None:
        """Report to `watch_memory` an access of `size` bytes by an instruction that the machine executes itself."""
        if not self.callbacks.watchers:
            return
        self._notes = True
        for seen in self.callbacks.watchers:
            seen(writes, physical, size)
        self._notes = False

    @property
    def accessing(self) -> int:
        """The number of instructions retired before the one whose access `watch_memory` reports now."""
        return self.hook.retired - (not self._notes)  # Unicorn's have been counted already, ours not yet

    # State

    def save_state(self) -> State:
        """Return the state of the stopped processor: all registers, and the instruction count."""
        return {
            "context": self.context.content,
            "hook": ctypes.string_at(ctypes.addressof(self.hook), STATE_BYTES),
            "tsc_offset": self.time_stamp_counter.offset,
            "tsc_aux": self.time_stamp_counter.aux,
        }

    def load_state(self, state: State) -> None:
        """Restore a state of this processor or one like it; RAM must be loaded first."""
        self.context.content = state["context"]
        ctypes.memmove(ctypes.addressof(self.hook), state["hook"], STATE_BYTES)
        self.time_stamp_counter.offset, self.time_stamp_counter.aux = state["tsc_offset"], state["tsc_aux"]
        self.engine.paging.directory_pointers.copy()
        self.engine.paging.flush_tlb()
        if self.coverage is not None:
            self.coverage.resume()
        if self.engine.block_clock is not None:
            self.engine.block_clock.cool_down()
