"""The registers on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.machine.registers import register_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class RegistersPane(Pane):
    """All registers."""

    NAME, TITLE, TAB, KEY = "registers", "Registers", "Regs", "3"
    HELP = """All registers: general ones, RFLAGS in words, segment registers with the
descriptors cached in them, descriptor table registers, control
registers bit by bit, MSRs, debug registers, XMM and x87.
* marks a value that has changed since the last stop; the old one follows.
Enter on a value that is an address shows what is there; b sets a
breakpoint on it, w a watchpoint, W finds the last write to it."""
    FOOTER = "Enter show it  b break  w watch  W last write"
    FOLLOWS = "show what is at the address in the register"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return register_view
