"""The panes: each shows a view of `model`, and adds the keys that only it has."""

from enclave_sim.inspector.panes.bytes import BytesPane
from enclave_sim.inspector.panes.code import CodePane
from enclave_sim.inspector.panes.devices import DevicesPane
from enclave_sim.inspector.panes.events import EventsPane
from enclave_sim.inspector.panes.guarantees import GuaranteesPane
from enclave_sim.inspector.panes.guest import GuestPane
from enclave_sim.inspector.panes.memory import MemoryPane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.panes.phases import PhasesPane
from enclave_sim.inspector.panes.registers import RegistersPane
from enclave_sim.inspector.panes.stack import StackPane
from enclave_sim.inspector.panes.tables import TablesPane

PANES: tuple[type[Pane], ...] = (
    *(PhasesPane, RegistersPane, CodePane, GuestPane, StackPane, MemoryPane, BytesPane, TablesPane, DevicesPane),
    *(EventsPane, GuaranteesPane),
)
OVERVIEW = ("code", "registers", "events")
OVERVIEW_WIDE = ("code", "registers", "phases", "memory", "events", "stack", "devices", "guest")
"""In the order in which the grid is filled."""
