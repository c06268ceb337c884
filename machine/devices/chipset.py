"""All devices of the PC, and the connections between them and the processor.

    ISA line n ---+--> 8259 pair, IRQ n ---INT--> LINT0 --+
                  +--> I/O APIC, pin n --messages---------+--> local APIC ---> INTR, NMI
                       (IRQ 0 at pin 2)    NMI ---> LINT1 -+

The lines in use are IRQ 0 (8254, channel 0) and IRQ 4 (COM1). The run loop reads `pending`, takes interrupts with
`acknowledge` and `take_nmi`, runs no further than `deadline_ns`, and calls `tick` there.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from machine.bus.bus import Bus, Device, Line
from machine.bus.ram import Ram
from machine.devices.apic import io_apic, local_apic
from machine.devices.engines import hash_engine, scrub_engine
from machine.devices.legacy import debug_exit, fw_cfg, pic8259, pit8254, post_code, uart16550
from machine.processor.clock import Clock

if TYPE_CHECKING:
    from machine.devices import tpm_crb
    from machine.devices.legacy import vga
    from machine.tpm.backend import TpmBackend

TIMER_IRQ, COM1_IRQ = 0, 4
TIMER_PIN = 2
_LINT0, _LINT1 = 0, 1


class Chipset:
    """The devices of a PC, created and attached to `bus`.

    `rescheduled` is called whenever `pending`, `nmi_pending` or `deadline_ns` may have changed. Raises MachineError for
    an invalid name of a fw_cfg file.
    """

    def __init__(
        self,
        bus: Bus,
        ram: Ram,
        clock: Clock,
        request_stop: Callable[[], None],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.bus = bus
        self._ram = ram
        self._clock = clock
        self.rescheduled: Callable[[], None] = lambda: None
        self.deadline_ns: int | None = None
        """The earliest deadline of a device, in virtual ns, or None."""
        self.nmi_pending = False
        """True while an NMI waits for `take_nmi`."""
        self.uart = uart16550.Uart16550(clock)
        self.post_code = post_code.PostCode()
        self.debug_exit = debug_exit.DebugExit(request_stop)
        self.local_apic = local_apic.LocalApic(clock)
        self.io_apic = io_apic.IoApic()
        self.pic = pic8259.PicPair()
        self.pit = pit8254.Pit8254(clock)
        self.fw_cfg = fw_cfg.FwCfg(ram, files or {})
        self.scrub_engine = scrub_engine.ScrubEngine(ram, clock)
        self.hash_engine = hash_engine.HashEngine(ram, clock)
        self._timed: list[Device] = [self.local_apic, self.pit, self.uart]
        """The devices with a timer."""
        self._attach()
        self._wire()
        self.acknowledge = self.local_apic.acknowledge
        """Runs the INTA cycle and returns the vector of the interrupt that the processor takes."""

    def _attach(self) -> None:
        ports, memory = self.bus.attach_ports, self.bus.attach_memory
        ports(self.uart, uart16550.PORT, 8)
        ports(self.post_code, post_code.PORT, 1)
        ports(self.debug_exit, debug_exit.PORT, debug_exit.PORTS, width=4)
        ports(self.pic, pic8259.FIRST_PORT, 2, offset=pic8259.FIRST_OFFSET)
        ports(self.pic, pic8259.SECOND_PORT, 2, offset=pic8259.SECOND_OFFSET)
        ports(self.pic, pic8259.ELCR_PORT, 2, offset=pic8259.ELCR_OFFSET)
        ports(self.pit, pit8254.PORT, 4)
        ports(self.pit, pit8254.CONTROL_PORT_B, 1, offset=pit8254.CONTROL_PORT_B_OFFSET)
        ports(self.fw_cfg, fw_cfg.PORT, 2, width=2)
        ports(self.fw_cfg, fw_cfg.DMA_PORT, 8, offset=fw_cfg.DMA_OFFSET, width=4)
        memory(self.local_apic, local_apic.ADDRESS)
        memory(self.io_apic, io_apic.ADDRESS)

    def attach_engines(self) -> None:
        """Attach the scrub engine and the hash engine, which no PC has."""
        self.bus.attach_memory(self.scrub_engine, scrub_engine.ADDRESS)
        self.bus.attach_memory(self.hash_engine, hash_engine.ADDRESS)

    def attach_display(self) -> "vga.Vga":
        """Attach a display adapter, which not every PC has, and return it."""
        from machine.devices.legacy import vga  # noqa: PLC0415 - not every PC has one

        device = vga.Vga(self._ram)
        self.bus.attach_ports(device, vga.PORT, vga.PORTS)
        self.bus.attach_ports(device, vga.CRTC_PORT, 2, offset=vga.CRTC)
        self.bus.attach_ports(device, vga.STATUS_PORT, 1, offset=vga.STATUS)
        return device

    def attach_tpm(self, backend: "TpmBackend") -> "tpm_crb.TpmCrb":
        """Attach a TPM, which not every PC has, and return its device."""
        from machine.devices import tpm_crb  # noqa: PLC0415 - not every PC has one

        device = tpm_crb.TpmCrb(self._clock, backend)
        self.bus.attach_memory(device, tpm_crb.ADDRESS)
        return device

    def _wire(self) -> None:
        apic, io, pic, pit = self.local_apic, self.io_apic, self.pic, self.pit
        pit.irq = self.isa_line(TIMER_IRQ)
        self.uart.irq = self.isa_line(COM1_IRQ)
        pic.output = lambda level: apic.set_pin(_LINT0, level)
        io.send = apic.message
        apic.acknowledge_external = pic.acknowledge
        apic.broadcast_eoi = io.end_of_interrupt
        apic.raise_nmi = self._latch_nmi
        for controller in (pic, io):
            controller.settle = pit.settle
            controller.masks_changed = self._masks_changed
        for device in self._timed:
            device.rescheduled = self.refresh

    def reset(self) -> None:
        """Reset every device to the state left by PC firmware."""
        for device in self.bus.devices:
            device.reset()
        self.nmi_pending = False
        self._masks_changed()
        self.refresh()

    def isa_line(self, irq: int) -> Line:
        """Return the interrupt line of an ISA device, which is connected to both controllers. There is no IRQ 2."""
        pic, io = self.pic, self.io_apic
        pin = TIMER_PIN if irq == TIMER_IRQ else irq

        def line(level: bool) -> None:
            pic.set_irq(irq, level)
            io.set_pin(pin, level)

        return line

    # Called by the run loop

    def pending(self) -> bool:
        """Report whether a maskable interrupt is pending, which the processor takes if RFLAGS.IF is set."""
        return self.local_apic.intr

    def raise_nmi(self) -> None:
        """Pulse the NMI pin, connected to LINT1 of the local APIC, which may mask it."""
        self.local_apic.set_pin(_LINT1, True)
        self.local_apic.set_pin(_LINT1, False)

    def take_nmi(self) -> bool:
        """Take an NMI, and report whether one was waiting."""
        taken, self.nmi_pending = self.nmi_pending, False
        return taken

    def tick(self, now_ns: int) -> None:
        """Call `tick` of every device whose deadline has passed."""
        for device in self._timed:
            if device.deadline_ns is not None and device.deadline_ns <= now_ns:
                device.tick(now_ns)
        self.refresh()

    def _latch_nmi(self) -> None:
        self.nmi_pending = True
        self.rescheduled()

    def _masks_changed(self) -> None:
        self.pit.watch(not self.pic.is_masked(TIMER_IRQ) or not self.io_apic.is_masked(TIMER_PIN))

    def refresh(self) -> None:
        """Find the earliest deadline of a device."""
        found = None
        for device in self._timed:
            at = device.deadline_ns
            if at is not None and (found is None or at < found):
                found = at
        self.deadline_ns = found
        self.rescheduled()
