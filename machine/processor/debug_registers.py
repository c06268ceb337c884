"""The debug registers (SDM volume 3, 18.2): breakpoints on instructions, data and ports.

Unicorn never sees them. The instruction hook checks for breakpoints on instructions. While a data breakpoint is armed,
a memory hook makes every access slow. That hook reports physical addresses, so an access through another mapping of the
same bytes hits the breakpoint too.
"""

from collections.abc import Callable

from machine.architecture.exceptions import UD, Fault
from machine.architecture.paging import SupervisorMemory
from machine.architecture.processor_state import ProcessorState
from machine.processor.clock import Clock
from machine.processor.engine_callbacks import Callbacks
from machine.processor.step_hook import NEVER, HookState
from machine.state import State, Stateful

DR6_ALWAYS_SET, DR7_ALWAYS_SET = 0xFFFF_0FF0, 0x400
DR6_BD, DR6_BS, DR6_BT = 1 << 13, 1 << 14, 1 << 15
DR7_GD = 1 << 13
_DR6_WRITABLE, _DR7_WRITABLE = 0xE00F, 0xFFFF_2BFF
_CR4_DE = 1 << 3
_EXECUTE, _WRITE, _PORT, _ACCESS = range(4)
_LENGTHS = (1, 2, 8, 4)


class DebugRegisters(Stateful):
    """DR0-DR3, DR6 and DR7, and the breakpoints hit by the last instruction."""

    STATE = ("_addresses", "dr6", "dr7", "met", "held")
    WIRING = ("_registers", "_hook", "_memory", "_clock", "_callbacks", "_memory_hook", "_watched")

    def __init__(
        self,
        registers: ProcessorState,
        hook: HookState,
        memory: SupervisorMemory,
        clock: Clock,
        callbacks: Callbacks,
    ) -> None:
        self._registers = registers
        self._hook = hook
        self._memory = memory
        self._clock = clock
        self._callbacks = callbacks
        self._addresses = [0, 0, 0, 0]
        self.dr6 = DR6_ALWAYS_SET
        self.dr7 = DR7_ALWAYS_SET
        self.met = 0
        """Bits 0-3: data or port breakpoints hit, to be raised as a trap after the instruction; DR6_BT: a switch to a
        task whose TSS has the T flag."""
        self.held = 0
        """The same for MOV SS or POP SS, after which #DB waits until the next instruction is complete (6.8.3)."""
        self._memory_hook: Callable[[], None] | None = None
        """Removes the memory hook."""
        self._watched: list[tuple[int, int, int, bool]] = []

    def reset(self) -> None:
        """Set all registers to their power-on values."""
        self._addresses = [0, 0, 0, 0]
        self.dr6, self.dr7, self.met, self.held = DR6_ALWAYS_SET, DR7_ALWAYS_SET, 0, 0
        self._arm()

    def load_state(self, state: State) -> None:
        """Restore a state (see `Stateful`) and arm its breakpoints."""
        super().load_state(state)
        self._arm()

    def hold(self) -> None:
        """Postpone the breakpoints hit by the last instruction."""
        self.held, self.met = self.held | self.met, 0

    def take(self) -> int:
        """Return the bits of `met` and `held`, and clear them, because they are now reported."""
        found, self.met, self.held = self.met | self.held, 0, 0
        return found

    def number(self, register: int) -> int:
        """Return the register number for MOV: DR6 for DR4, DR7 for DR5.

        Args:
            register: The number in the instruction.

        Returns:
            0 to 3, 6 or 7.

        Raises:
            Fault: #UD for DR4 and DR5 while CR4.DE is set, and for DR8 and higher.
        """
        if register in (4, 5) and not self._registers.cr[4] & _CR4_DE:
            return register + 2
        if register in (4, 5) or register > 7:
            raise Fault(UD)
        return register

    def read(self, register: int) -> int:
        """Return DR0-DR3, DR6 or DR7."""
        return self._addresses[register] if register < 4 else self.dr6 if register == 6 else self.dr7

    @property
    def breakpoints(self) -> tuple[int, ...]:
        """DR0 to DR3, and DR7."""
        return (*self._addresses, self.dr7)

    def write(self, register: int, value: int) -> None:
        """Set DR0-DR3, DR6 or DR7; reserved bits keep their fixed values."""
        if register < 4:
            self._addresses[register] = value
        elif register == 6:
            self.dr6 = value & _DR6_WRITABLE | DR6_ALWAYS_SET
            return
        else:
            self.dr7 = value & _DR7_WRITABLE | DR7_ALWAYS_SET
        self._arm()

    def at(self, address: int) -> int:
        """Return bits 0-3 of the enabled breakpoints on the instruction at a linear address."""
        return sum(1 << n for n in self._enabled(_EXECUTE) if self._addresses[n] == address)

    def _enabled(self, kind: int) -> list[int]:
        armed = (n for n in range(4) if self.dr7 >> 2 * n & 3)
        return [n for n in armed if self.dr7 >> 16 + 4 * n & 3 == kind]

    def _length(self, number: int) -> int:
        return _LENGTHS[self.dr7 >> 18 + 4 * number & 3]

    def _arm(self) -> None:
        hook = self._hook
        on_code = self._enabled(_EXECUTE)
        hook.debugging = bool(on_code)
        for n in range(4):
            hook.debug_address[n] = self._addresses[n] if n in on_code else NEVER
        self._callbacks.on_port = self._on_port if self._enabled(_PORT) else None
        self._watched = []
        for n in (*self._enabled(_WRITE), *self._enabled(_ACCESS)):
            length = self._length(n)
            reads = self.dr7 >> 16 + 4 * n & 3 == _ACCESS
            self._watched.append((n, self._addresses[n] & -length, length, reads))
        if self._watched and self._memory_hook is None:
            self._memory_hook = self._callbacks.watch_memory(self._on_memory)
        elif self._memory_hook is not None and not self._watched:
            self._memory_hook()
            self._memory_hook = None

    def _on_memory(self, writes: bool, physical: int, size: int) -> None:
        for n, address, length, reads in self._watched:
            found = self._memory.look(address)
            if found is None or not (writes or reads):
                continue
            start = found.physical + address % 4096
            if physical < start + length and start < physical + size:
                self._meet(n)

    def _on_port(self, port: int, size: int) -> None:
        if not self._registers.cr[4] & _CR4_DE:
            return
        for n in self._enabled(_PORT):
            if port < self._addresses[n] + self._length(n) and self._addresses[n] < port + size:
                self._meet(n)

    def _meet(self, number: int) -> None:
        self.met |= 1 << number
        self._clock.stop()
