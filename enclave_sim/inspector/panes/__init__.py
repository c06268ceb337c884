"""The panes. Each shows a view from `model`, and may have its own keys."""

from enclave_sim.inspector.panes.events import EventsPane
from enclave_sim.inspector.panes.guarantees import GuaranteesPane
from enclave_sim.inspector.panes.guest import GuestPane
from enclave_sim.inspector.panes.machine.address_space import AddressSpacePane
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.panes.machine.devices import DevicesPane
from enclave_sim.inspector.panes.machine.memory import MemoryPane
from enclave_sim.inspector.panes.machine.registers import RegistersPane
from enclave_sim.inspector.panes.machine.screen import ScreenPane
from enclave_sim.inspector.panes.machine.stack import StackPane
from enclave_sim.inspector.panes.machine.tables import TablesPane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.panes.phases import PhasesPane

PANES: tuple[type[Pane], ...] = (
    *(PhasesPane, RegistersPane, CodePane, GuestPane, StackPane, MemoryPane, BytesPane, TablesPane, DevicesPane),
    *(EventsPane, GuaranteesPane, AddressSpacePane, ScreenPane),
)
OVERVIEW = ("code", "registers", "events")
OVERVIEW_WIDE = ("code", "registers", "phases", "memory", "events", "stack", "devices", "guest")
"""In grid order."""
LAB = "lab"
"""The pane that stands beside these if a lab is open."""
