"""The wires of the PC: devices, interrupt controllers, processor."""

import inspect
from pathlib import Path

import pytest

from machine.bus.bus import Bus, Device
from machine.bus.ram import Ram
from machine.devices.apic import registers as reg
from machine.devices.chipset import Chipset
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

PAGE = Path(__file__).parents[3] / "docs" / "machine.md"
APIC, IO_APIC = 0x20_0000, 0x0  # from the base of the device range


class Pc:
    """A chipset at a settable time, from the view of a kernel and of the processor's loop."""

    def __init__(self) -> None:
        self.state = HookState(deadline=NEVER)
        self.bus = Bus()
        self.chipset = Chipset(self.bus, Ram(1 << 20), Clock(self.state), lambda: None)
        self.told = 0
        self.chipset.rescheduled = self._count

    def _count(self) -> None:
        self.told += 1

    def out(self, port: int, *values: int) -> None:
        for value in values:
            self.bus.write_port(port, 1, value)

    def apic(self, register: int, value: int) -> None:
        self.bus.write_memory(APIC + register, 4, value)

    def redirect(self, pin: int, entry: int) -> None:
        self.bus.write_memory(IO_APIC, 4, 0x10 + 2 * pin)
        self.bus.write_memory(IO_APIC + 0x10, 4, entry)

    def remap(self, mask: int = 0xFF) -> None:
        """The 8259 pair to vectors 0x20 and 0x28."""
        for base, vector, wiring in ((0x20, 0x20, 4), (0xA0, 0x28, 2)):
            self.out(base, 0x11)
            self.out(base + 1, vector, wiring, 1, mask)

    def run(self, until: int) -> None:
        while (deadline := self.chipset.deadline_ns) is not None and deadline <= until:
            self.state.retired = deadline
            self.chipset.tick(deadline)
        self.state.retired = until

    def next_interrupt(self) -> tuple[int, int]:
        """The time of the next interrupt, and its vector."""
        while not self.chipset.pending():
            assert self.chipset.deadline_ns is not None
            self.run(self.chipset.deadline_ns)
        return self.state.retired, self.chipset.acknowledge()


def start_timer(pc: Pc, count: int) -> None:
    pc.out(0x43, 0x34)
    pc.out(0x40, count & 0xFF, count >> 8)


def test_handed_over_nothing_is_due() -> None:
    pc = Pc()
    assert (pc.chipset.pending(), pc.chipset.deadline_ns, pc.chipset.take_nmi()) == (False, None, False)


def test_the_8254_interrupts_through_the_8259_and_lint0() -> None:
    pc = Pc()
    pc.remap(0xFE)
    start_timer(pc, 1193)
    first = 1194 * 10**9 // 1_193_182
    assert pc.next_interrupt() == (first, 0x20)
    assert not pc.chipset.pending()
    pc.out(0x20, 0x20)
    assert pc.next_interrupt() == (2387 * 10**9 // 1_193_182, 0x20)


def test_an_irq_0_that_came_while_masked_is_there_when_it_is_unmasked() -> None:
    pc = Pc()
    pc.remap()
    start_timer(pc, 1193)
    assert pc.chipset.deadline_ns is None
    pc.state.retired = 5_000_000
    pc.out(0x20, 0x0A)
    assert pc.bus.read_port(0x20, 1) == 1
    pc.out(0x21, 0xFE)
    assert pc.chipset.pending()
    assert pc.chipset.acknowledge() == 0x20


@pytest.mark.parametrize(("mode", "requested"), [(0, 0), (2, 0), (3, 1)])
def test_after_icw1_the_store_of_a_count_is_an_edge_if_it_sets_the_line(mode: int, requested: int) -> None:
    pc = Pc()
    pc.state.retired = 100_000_000  # the line is high, as firmware left the timer
    pc.remap()
    pc.out(0x43, 0x30 | mode << 1)
    pc.out(0x40, 0, 4)
    pc.out(0x20, 0x0A)
    assert pc.bus.read_port(0x20, 1) == requested


def test_irq_0_is_pin_2_of_the_io_apic_and_an_edge_while_masked_is_lost() -> None:
    pc = Pc()
    start_timer(pc, 1193)
    pc.state.retired = 1_500_000
    pc.redirect(2, 0x40)
    assert not pc.chipset.pending()
    assert pc.next_interrupt() == (2387 * 10**9 // 1_193_182, 0x40)


@pytest.mark.parametrize("irq", [1, 3, 8, 15])
def test_isa_lines_reach_the_pin_of_their_number(irq: int) -> None:
    pc = Pc()
    pc.redirect(irq, 0x50)
    pc.chipset.isa_line(irq)(True)
    assert pc.chipset.acknowledge() == 0x50


def test_the_serial_port_is_irq_4() -> None:
    pc = Pc()
    pc.remap(0xEF)
    pc.out(0x3F9, 2)
    assert pc.chipset.acknowledge() == 0x24


def test_a_level_triggered_interrupt_comes_again_after_eoi() -> None:
    pc = Pc()
    pc.redirect(10, 0x8050)
    line = pc.chipset.isa_line(10)
    line(True)
    assert pc.chipset.acknowledge() == 0x50
    assert not pc.chipset.pending()
    pc.apic(reg.EOI, 0)
    assert pc.chipset.acknowledge() == 0x50
    line(False)
    pc.apic(reg.EOI, 0)
    assert not pc.chipset.pending()


def test_without_the_local_apic_the_8259_is_the_processors_interrupt() -> None:
    pc = Pc()
    pc.chipset.local_apic.apic_base = 0
    assert pc.bus.read_memory(APIC + reg.ID, 4) == 0xFFFF_FFFF
    pc.remap(0xFD)
    pc.chipset.isa_line(1)(True)
    assert pc.chipset.pending()
    assert pc.chipset.acknowledge() == 0x21


def test_masking_lint0_shuts_the_8259_out() -> None:
    pc = Pc()
    pc.apic(reg.LVT_LINT0, 0x10700)
    pc.remap(0xFD)
    pc.chipset.isa_line(1)(True)
    assert not pc.chipset.pending()


def test_the_nmi_pin_goes_through_lint1_and_is_taken_once() -> None:
    pc = Pc()
    pc.chipset.raise_nmi()
    assert pc.told == 1
    assert (pc.chipset.take_nmi(), pc.chipset.take_nmi()) == (True, False)
    pc.apic(reg.LVT_LINT1, 0x10400)
    pc.chipset.raise_nmi()
    assert not pc.chipset.take_nmi()
    pc.apic(reg.ICR_LOW, 0x400)
    assert pc.chipset.take_nmi()


def test_the_earliest_deadline_of_all_devices_counts() -> None:
    pc = Pc()
    pc.remap(0xFE)
    start_timer(pc, 0)
    timer = pc.chipset.deadline_ns
    pc.apic(reg.DIVIDE_CONFIGURATION, 11)
    pc.apic(reg.LVT_TIMER, 0x30)
    pc.apic(reg.INITIAL_COUNT, 100)
    assert pc.chipset.deadline_ns == 101
    pc.run(101)
    assert pc.chipset.acknowledge() == 0x30
    assert pc.chipset.deadline_ns == timer


def test_reset_puts_every_device_back() -> None:
    pc = Pc()
    pc.remap(0)
    start_timer(pc, 100)
    pc.out(0x3F8, 0x41)
    pc.apic(reg.TPR, 0xFF)
    pc.redirect(2, 0x40)
    pc.chipset.raise_nmi()
    pc.chipset.reset()
    assert (pc.chipset.pending(), pc.chipset.deadline_ns, pc.chipset.nmi_pending) == (False, None, False)
    assert pc.bus.read_port(0x21, 1) == 0xFF
    assert pc.bus.read_memory(APIC + reg.TPR, 4) == 0
    assert pc.chipset.uart.transmitted == b""


def test_the_page_of_the_machine_lists_the_file_of_every_device() -> None:
    own = [kind for kind in Device.__subclasses__() if kind.__module__.startswith("machine.devices.")]
    files = {Path(inspect.getfile(kind)).as_posix().rpartition("/machine/devices/")[2] for kind in own}
    text = PAGE.read_text()
    assert len(files) > 8
    assert [file for file in sorted(files) if f"`{file}`" not in text] == [], f"add these to {PAGE.name}"
