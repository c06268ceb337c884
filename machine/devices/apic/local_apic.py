"""The local APIC (SDM volume 3, "Advanced Programmable Interrupt Controller") in xAPIC mode at 0xFEE00000.

`registers.py` has the register layout. Only aligned accesses of 32 bits are defined; others read zero and write
nothing. The 8259 pair is connected to LINT0, the NMI pin to LINT1. While the APIC is disabled in IA32_APIC_BASE, these
two pins are the processor's INTR and NMI.

After reset it is as PC firmware leaves it: enabled, LINT0 = ExtINT, LINT1 = NMI, all else masked. Left out: x2APIC,
moving the block, SMI, INIT and start-up (there is one processor), sources for the performance and thermal entries.
ExtINT takes precedence over the APIC's own vectors, as on QEMU. Every IPI is edge-triggered.
"""

from collections.abc import Callable

from machine.bus.bus import Device
from machine.devices.apic import registers as reg
from machine.devices.apic.local_vector_table import LocalVectorTable
from machine.devices.apic.priorities import Priorities
from machine.devices.apic.timer import ApicTimer
from machine.processor.clock import Clock

ADDRESS = 0xFEE0_0000


class LocalApic(Device):
    """The local APIC: it collects interrupt requests and decides which one the processor takes next.

    `intr` is true while an interrupt waits that the processor would take with RFLAGS.IF set. `rescheduled` is called
    when `intr` or the deadline changes.
    """

    STATE = ("_base", "acknowledged_ns", "_stored", "_errors", "_error_armed", "_external_message", "intr", "_external")
    PARTS = ("_timer", "_table", "_priorities")
    WIRING = ("_clock", "acknowledge_external", "broadcast_eoi", "raise_nmi", "_writes")

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._timer = ApicTimer(clock)
        self.acknowledge_external: Callable[[], int] = lambda: 0
        """Runs the INTA cycle of the 8259 pair and returns its vector."""
        self.broadcast_eoi: Callable[[int], None] = lambda _vector: None
        """Ends the level-triggered interrupt with this vector at the I/O APIC."""
        self.raise_nmi: Callable[[], None] = lambda: None
        """Raises an NMI at the processor."""
        self._table = LocalVectorTable()
        self._writes: dict[int, Callable[[int], None]] = {
            reg.TPR: self._write_task_priority,
            reg.SVR: self._write_spurious_vector,
            reg.ESR: self._write_error_status,
            reg.ICR_LOW: self._send,
            reg.DIVIDE_CONFIGURATION: self._divide,
        }
        self.reset()

    def reset(self) -> None:
        """Return to the state in which PC firmware leaves the APIC."""
        self._base = ADDRESS | reg.BASE_ENABLE | reg.BASE_BOOTSTRAP
        self.acknowledged_ns = 0
        """Virtual time at which the processor last took an interrupt; minus `fired_ns` it is a wake-up's latency."""
        self._power_up()
        self.write(reg.SVR, 4, 0x1FF)
        self.write(reg.LVT_LINT0, 4, 0x8700)
        self.write(reg.LVT_LINT1, 4, 0x8400)

    def _power_up(self) -> None:
        """Return to the power-on state (SDM, "Local APIC State After Power-Up or Reset"): disabled, all masked."""
        self._timer.reset()
        self.deadline_ns = None
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

    # The processor's side

    def acknowledge(self) -> int:
        """Take an interrupt: move its vector from requested to in service. The processor calls this.

        Returns:
            The vector; the spurious vector if none may be taken any more, as the task priority was raised in between.
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
    def fired_ns(self) -> int | None:
        """The deadline at which the timer last fired, in virtual ns, or None."""
        return self._timer.fired_ns

    @property
    def divider(self) -> int:
        """The divisor of the timer's clock: 1 to 128."""
        return self._timer.divider

    @property
    def cr8(self) -> int:
        """CR8: bits 7 to 4 of the task priority."""
        return self._priorities.task >> 4

    @cr8.setter
    def cr8(self, value: int) -> None:
        self._write_task_priority(value << 4)

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

    def read_tsc_deadline(self) -> int:
        """Return IA32_TSC_DEADLINE, for RDMSR."""
        return self._timer.tsc_deadline

    def write_tsc_deadline(self, value: int) -> None:
        """Set IA32_TSC_DEADLINE, for WRMSR, to virtual time in ns; zero disarms the timer."""
        self._timer.write_tsc_deadline(value)
        self._timer_changed()

    # Sources of interrupts

    def request(self, vector: int) -> None:
        """Accept an edge-triggered fixed interrupt for this processor."""
        self._accept(reg.FIXED, vector, level_triggered=False)

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

    def tick(self, now_ns: int) -> None:
        """Raise the timer's interrupt if its deadline has passed."""
        if self._timer.tick(now_ns):
            self._timer_changed()
            self._raise_local(reg.LVT_TIMER)

    def _raise_local(self, register: int) -> None:
        entry = self._table.entries[register]
        if not entry & reg.MASKED:
            self._accept(reg.FIXED, entry & reg.VECTOR, level_triggered=False)

    def _sample_pins(self) -> None:
        """Check the pins whose level counts: ExtINT, and fixed level-triggered ones."""
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

    # Registers

    def read(self, offset: int, size: int) -> int:
        """Return a register."""
        if not self._base & reg.BASE_ENABLE:
            return (1 << 8 * size) - 1
        if size != 4 or offset & 0xF:
            return 0
        if offset in self._table.entries:
            return self._table.entries[offset]
        stored = self._stored.get(offset)
        return self._read_computed(offset) if stored is None else stored

    def _read_computed(self, offset: int) -> int:
        priorities = self._priorities
        if reg.ISR <= offset < reg.ESR:
            vectors = (priorities.in_service, priorities.level_triggered, priorities.requested)[offset - reg.ISR >> 7]
            return vectors >> (offset >> 4 & 7) * 32 & 0xFFFF_FFFF
        if offset == reg.CURRENT_COUNT:
            return self._timer.current_count
        values = {
            reg.VERSION: reg.VERSION_VALUE,
            reg.TPR: priorities.task,
            reg.APR: priorities.arbitration,
            reg.PPR: priorities.processor,
            reg.INITIAL_COUNT: self._timer.initial_count,
            reg.DIVIDE_CONFIGURATION: self._timer.divide_configuration,
        }
        if offset not in values and offset != reg.EOI and offset not in reg.READ_ONLY:
            self._log_error(reg.ILLEGAL_REGISTER_ADDRESS)
        return values.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Set a register; EOI ends the highest interrupt in service, INITIAL_COUNT starts the timer."""
        if size != 4 or offset & 0xF or not self._base & reg.BASE_ENABLE:
            return
        if offset == reg.EOI:
            self._end_of_interrupt()
        elif offset == reg.INITIAL_COUNT:
            self._timer.load(value)
            self._timer_changed()
        elif offset in self._table.entries:
            self._write_lvt(offset, value)
        elif offset in self._writes:
            self._writes[offset](value)
        elif offset in (reg.ID, reg.LDR, reg.ICR_HIGH):
            self._stored[offset] = value & 0xFF00_0000
        elif offset == reg.DFR:
            self._stored[offset] = value | 0x0FFF_FFFF
        elif offset not in reg.READ_ONLY:
            self._log_error(reg.ILLEGAL_REGISTER_ADDRESS)

    def _end_of_interrupt(self) -> None:
        vector = self._priorities.end()
        self._update()
        if vector is not None:
            self._table.ended(vector)
            self._sample_pins()
            self.broadcast_eoi(vector)

    def _write_lvt(self, register: int, value: int) -> None:
        entry = self._table.write(register, value, enabled=bool(self._stored[reg.SVR] & reg.SOFTWARE_ENABLED))
        if register == reg.LVT_TIMER:
            self._timer.configure(entry)
            self._timer_changed()
        else:
            self._sample_pins()

    def _timer_changed(self) -> None:
        deadline = self._timer.deadline_ns
        if deadline != self.deadline_ns:
            self.deadline_ns = deadline
            self.rescheduled()

    def _divide(self, value: int) -> None:
        self._timer.divide_by(value)
        self._timer_changed()

    def _write_task_priority(self, value: int) -> None:
        self._priorities.set_task(value)
        self._update()

    def _write_spurious_vector(self, value: int) -> None:
        self._stored[reg.SVR] = value & 0x3FF
        if not value & reg.SOFTWARE_ENABLED:
            self._external_message = False
            self._table.mask_all()
            self._timer.configure(self._table.entries[reg.LVT_TIMER])
            self._timer_changed()
        self._sample_pins()

    def _send(self, value: int) -> None:
        """Send an IPI, for a store to ICR_LOW. Only this processor can receive it."""
        self._stored[reg.ICR_LOW] = value & 0xC_CFFF
        mode, vector, shorthand = value >> 8 & 7, value & reg.VECTOR, value >> 18 & 3
        if mode in (reg.FIXED, reg.LOWEST_PRIORITY) and vector < reg.FIRST_VECTOR:
            self._log_error(reg.SEND_ILLEGAL_VECTOR)
        own = shorthand in (1, 2)
        if shorthand == 0:
            own = self._is_destination(self._stored[reg.ICR_HIGH] >> 24, logical=bool(value & 1 << 11))
        if own and mode != reg.EXT_INT:
            self._accept(mode, vector, level_triggered=False)

    def _log_error(self, error: int) -> None:
        """Record an error. The first one after a write to ESR raises the error interrupt."""
        self._errors |= error
        if self._error_armed:
            self._error_armed = False
            self._raise_local(reg.LVT_ERROR)

    def _write_error_status(self, _value: int) -> None:
        self._stored[reg.ESR], self._errors = self._errors, 0
        self._error_armed = True
