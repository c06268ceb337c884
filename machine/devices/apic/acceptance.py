"""Interrupt acceptance of the local APIC (SDM volume 3, "Handling Interrupts"): which interrupts reach the processor.

Sources are the pins, the local vector table, messages of the I/O APIC and IPIs. An ExtINT takes precedence over the
APIC's own vectors, as on QEMU. The software-visible registers are in `local_apic.py`.
"""

from collections.abc import Callable
from typing import ClassVar

from machine.bus.bus import Device
from machine.devices.apic import registers as reg
from machine.devices.apic.local_vector_table import LocalVectorTable
from machine.devices.apic.priorities import Priorities
from machine.processor.clock import Clock


class InterruptAcceptance(Device):
    """The requested interrupts, and the one that the processor takes next.

    `intr` is true while an interrupt is pending that the processor would take with RFLAGS.IF set. `rescheduled` is
    called when `intr` or the deadline changes.
    """

    STATE = ("_base", "acknowledged_ns", "_stored", "_errors", "_error_armed", "_external_message", "intr", "_external")
    PARTS: ClassVar[tuple[str, ...]] = ("_table", "_priorities")
    WIRING: ClassVar[tuple[str, ...]] = ("_clock", "acknowledge_external", "broadcast_eoi", "raise_nmi")

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.acknowledge_external: Callable[[], int] = lambda: 0
        """Runs the INTA cycle of the 8259 pair and returns its vector."""
        self.broadcast_eoi: Callable[[int], None] = lambda _vector: None
        """Ends the level-triggered interrupt with this vector at the I/O APIC."""
        self.raise_nmi: Callable[[], None] = lambda: None
        """Raises an NMI at the processor."""
        self.acknowledged_ns = 0
        """Virtual time at which the processor last took an interrupt; minus `fired_ns`, it is the wake-up latency."""
        self._base = 0
        self._table = LocalVectorTable()

    def _power_up(self) -> None:
        """Return to the power-on state (SDM, "Local APIC State After Power-Up or Reset"): disabled, all masked."""
        self._stored = {
            reg.ID: 0,
            reg.LDR: 0,
            reg.DFR: 0xFFFF_FFFF,
            reg.SVR: 0xFF,
            reg.ICR_LOW: 0,
            reg.ICR_HIGH: 0,
            reg.ESR: 0,
        }
        self._table.reset()
        self._priorities = Priorities()
        self._errors = 0
        self._error_armed = True
        self._external_message = False
        self.intr = self._external = False

    def acknowledge(self) -> int:
        """Take an interrupt: move its vector from requested to in service. The processor calls this.

        Returns:
            The vector; the spurious vector if the task priority has been raised so that none may be taken.
        """
        self.acknowledged_ns = self._clock.now_ns
        if self._external:
            self._external_message = False
            vector = self.acknowledge_external()
            self._sample_pins()
            return vector
        if not self.intr:
            return self._stored[reg.SVR] & reg.VECTOR
        vector = self._priorities.serve()
        self._update()
        return vector

    @property
    def apic_base(self) -> int:
        """IA32_APIC_BASE. BASE_ENABLE and the address can be written, but the block does not move."""
        return self._base

    @apic_base.setter
    def apic_base(self, value: int) -> None:
        was, self._base = self._base, value & ~0x7FF | reg.BASE_BOOTSTRAP
        if (was ^ self._base) & reg.BASE_ENABLE:
            self._power_up()
            self._sample_pins()
            self.rescheduled()

    # Sources of interrupts

    def request(self, vector: int) -> None:
        """Accept an edge-triggered fixed interrupt for this processor."""
        self._accept(reg.FIXED, vector, level_triggered=False)

    def withdraw(self, vector: int) -> None:
        """Drop a requested interrupt that the processor has not taken yet, as a fault does. There may be none."""
        self._priorities.requested &= ~(1 << vector)
        self._update()

    def is_requested(self, vector: int) -> bool:
        """Report whether an interrupt is requested that the processor has not taken yet."""
        return bool(self._priorities.requested >> vector & 1)

    def message(self, destination: int, mode: int, vector: int, *, logical: bool, level_triggered: bool) -> bool:
        """Receive an interrupt message of an I/O APIC. Return whether this APIC accepted it."""
        return self._is_destination(destination, logical=logical) and self._accept(
            mode, vector, level_triggered=level_triggered
        )

    def set_pin(self, pin: int, level: bool) -> None:
        """Set the level of LINT0 or LINT1."""
        if self._table.pins[pin] == level:
            return
        entry = self._table.set_pin(pin, level)
        if not self._base & reg.BASE_ENABLE:
            if pin == 1 and level:
                self.raise_nmi()
        elif entry is not None:
            self._accept(entry >> 8 & 7, entry & reg.VECTOR, level_triggered=False)
        self._sample_pins()

    def _raise_local(self, register: int) -> None:
        entry = self._table.entries[register]
        if not entry & reg.MASKED:
            self._accept(reg.FIXED, entry & reg.VECTOR, level_triggered=False)

    def _sample_pins(self) -> None:
        """Check the level-sensitive pins: ExtINT, and fixed level-triggered ones."""
        table = self._table
        if self._base & reg.BASE_ENABLE:
            self._external = self._external_message or table.has_external()
            for register in table.level_requests():
                if self._accept(reg.FIXED, table.entries[register] & reg.VECTOR, level_triggered=True):
                    table.entries[register] |= reg.REMOTE_IRR
        else:
            self._external = table.pins[0]
        self._update()

    def _accept(self, mode: int, vector: int, *, level_triggered: bool) -> bool:
        if mode == reg.NMI:
            self.raise_nmi()
        elif not self._stored[reg.SVR] & reg.SOFTWARE_ENABLED:
            return False
        elif mode == reg.EXT_INT:
            self._external = self._external_message = True
            self._update()
        elif mode not in (reg.FIXED, reg.LOWEST_PRIORITY):
            return False
        elif vector < reg.FIRST_VECTOR:
            self._log_error(reg.RECEIVE_ILLEGAL_VECTOR)
            return False
        else:
            self._priorities.request(vector, level_triggered=level_triggered)
            self._update()
        return True

    def _is_destination(self, destination: int, *, logical: bool) -> bool:
        """Report whether a message is for this processor (SDM, "Determining IPI Destination")."""
        if not self._base & reg.BASE_ENABLE:
            return False
        if not logical:
            return destination in (0xFF, self._stored[reg.ID] >> 24)
        own = self._stored[reg.LDR] >> 24
        if self._stored[reg.DFR] >> 28 == 0xF:
            return bool(destination & own)
        return destination >> 4 in (own >> 4, 0xF) and bool(destination & own & 0xF)

    def _update(self) -> None:
        """Update `intr`."""
        enabled = self._stored[reg.SVR] & reg.SOFTWARE_ENABLED
        intr = self._external or (enabled != 0 and self._priorities.deliverable())
        if intr != self.intr:
            self.intr = intr
            self.rescheduled()

    def _log_error(self, error: int) -> None:
        """Record an error. The first one after a write to ESR raises the error interrupt."""
        self._errors |= error
        if self._error_armed:
            self._error_armed = False
            self._raise_local(reg.LVT_ERROR)
