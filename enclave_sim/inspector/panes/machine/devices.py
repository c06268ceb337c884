"""Devices on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.machine.devices import device_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class DevicesPane(Pane):
    """Registers of all devices."""

    NAME, TITLE, TAB, KEY = "devices", "Devices", "Dev", "0"
    HELP = """All devices: the enclave block with the status word, local APIC with its
timer, TPM with its PCRs, the serial line, scrub engine, hash engine,
attestation port, mailbox, and the other devices of a PC, with all of
their state.
v goes to the next device. Nothing is read through the bus, so looking
changes nothing."""
    FOOTER = "v next device"
    FOLLOWS = "show the memory that the row names"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return device_view
