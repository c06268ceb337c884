"""The panes: each shows a view of `model`, and adds the keys that only it has."""

from enclave_sim.inspector.panes.bytes import BytesPane
from enclave_sim.inspector.panes.code import CodePane
from enclave_sim.inspector.panes.events import EventsPane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.panes.phases import PhasesPane
from enclave_sim.inspector.panes.registers import RegistersPane

PANES: tuple[type[Pane], ...] = (PhasesPane, RegistersPane, CodePane, BytesPane, EventsPane)
OVERVIEW = ("code", "registers", "events")
OVERVIEW_WIDE = ("code", "registers", "phases", "bytes", "events")
"""In the order of the grid."""
