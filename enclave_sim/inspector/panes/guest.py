"""The guest on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.guest import guest_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class GuestPane(Pane):
    """State of the guest, its host calls, and the payloads."""

    NAME, TITLE, KEY = "guest", "Guest", "5"
    HELP = """What the guest does: computing, preempted or suspended in a host call;
fuel spent; linear memory; its last host calls with their answers; the
sections of each payload.
wasmtime does not say which function a suspended guest is in. A flat
guest has no engine: see its code.
h and H go from host call to host call; Enter on one goes to its moment."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return guest_view
