"""The guest on the screen."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from enclave_sim.inspector.model.guest import guest_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class GuestPane(Pane):
    """State of the guest, its host calls, and the payloads."""

    NAME, TITLE, TAB, KEY = "guest", "Guest", "Guest", "5"
    HELP = """What the guest does: computing, preempted or suspended in a host call;
fuel spent; linear memory; the function it is in, or trapped in, with the
call stack and the instructions around (> is the current one); its last
host calls with their answers; the sections of each payload.
F finds the function of a guest that has computed for long: wasmtime
reports it only for traps, so a shadow guest is run to the same place and
trapped there. Operand stack, locals and globals are not available. Of a
resident guest all of that is in the machine's memory and shown at once;
} { step through its instructions, | \\ over calls, ^ ~ out of one. A
flat guest has no engine: see its code.
h and H go from host call to host call; Enter on one goes to its moment."""
    FOOTER = "Enter go to call  F find function"
    FOLLOWS = "go to the host call of the row"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("F", "app.find_guest", "find the function that the guest is in", show=False)
    ]

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return guest_view
