"""The stack on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.machine.stack import stack_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class StackPane(Pane):
    """Words from RSP upwards."""

    NAME, TITLE, TAB, KEY = "stack", "Stack", "Stack", "6"
    HELP = """The stack from RSP upwards. While an interrupt is handled, the frame
that the processor pushed is decoded: error code, return address, CS,
RFLAGS, and the stack it came from. Addresses are named; a word that may
be a return address says so.
Enter on a word shows the code it points to, or its bytes; w watches it,
W finds the last write to it."""
    FOOTER = "Enter show it  w watch  W last write"
    FOLLOWS = "show the code or the bytes that the word points to"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return stack_view
