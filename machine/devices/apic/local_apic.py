"""The local APIC (SDM volume 3, "Advanced Programmable Interrupt Controller") in xAPIC mode at 0xFEE00000.

`registers.py` has the register layout, `acceptance.py` decides which interrupts reach the processor. Only aligned
32-bit accesses are defined; other reads return zero and other writes do nothing. The 8259 pair is connected to LINT0,
the NMI pin to LINT1. While the APIC is disabled in IA32_APIC_BASE, these two pins are the processor's INTR and NMI.

Reset gives the state left by PC firmware: enabled, LINT0 = ExtINT, LINT1 = NMI, everything else masked. Not
implemented: x2APIC, moving the block, SMI, INIT and start-up (there is one processor), sources for the performance and
thermal entries. Every IPI is edge-triggered.
"""

from collections.abc import Callable

from machine.devices.apic import registers as reg
from machine.devices.apic.acceptance import InterruptAcceptance
from machine.devices.apic.timer import ApicTimer
from machine.processor.clock import Clock

ADDRESS = 0xFEE0_0000


class LocalApic(InterruptAcceptance):
    """The local APIC: registers and timer, on top of interrupt acceptance."""

    PARTS = ("_timer",)
    WIRING = ("_writes",)

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._timer = ApicTimer(clock)
        self._writes: dict[int, Callable[[int], None]] = {
            reg.TPR: self._write_task_priority,
            reg.SVR: self._write_spurious_vector,
            reg.ESR: self._write_error_status,
            reg.ICR_LOW: self._send,
            reg.DIVIDE_CONFIGURATION: self._divide,
        }
        self.reset()

    def reset(self) -> None:
        """Return to the state left by PC firmware."""
        self._base = ADDRESS | reg.BASE_ENABLE | reg.BASE_BOOTSTRAP
        self.acknowledged_ns = 0
        self._power_up()
        self.write(reg.SVR, 4, 0x1FF)
        self.write(reg.LVT_LINT0, 4, 0x8700)
        self.write(reg.LVT_LINT1, 4, 0x8400)

    def _power_up(self) -> None:
        self._timer.reset()
        self.deadline_ns = None
        super()._power_up()

    # Timer and task priority

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

    def read_tsc_deadline(self) -> int:
        """Return IA32_TSC_DEADLINE, for RDMSR."""
        return self._timer.tsc_deadline

    def write_tsc_deadline(self, value: int) -> None:
        """Set IA32_TSC_DEADLINE, for WRMSR, to virtual time in ns; zero disarms the timer."""
        self._timer.write_tsc_deadline(value)
        self._timer_changed()

    def stall_timer(self, duration_ns: int) -> None:
        """Let the timer stand still for some virtual ns, as a fault of its clock would."""
        self._timer.stall(duration_ns)
        self._timer_changed()

    def tick(self, now_ns: int) -> None:
        """Raise the timer's interrupt if its deadline has passed."""
        if self._timer.tick(now_ns):
            self._timer_changed()
            self._raise_local(reg.LVT_TIMER)

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

    def _write_error_status(self, _value: int) -> None:
        self._stored[reg.ESR], self._errors = self._errors, 0
        self._error_armed = True
