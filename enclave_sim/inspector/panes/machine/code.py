"""Code on the screen."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from enclave_sim.inspector.model.machine.code import code_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class CodePane(Pane):
    """Disassembly around RIP, or around an address that the user chose."""

    NAME, TITLE, TAB, KEY = "code", "Code", "Code", "4"
    HELP = """Instructions around RIP, with the kernel's source lines and symbols. >
is where the processor is, B a breakpoint.
b sets a breakpoint at the cursor, or removes it; r runs to the cursor,
R back to it.
Enter on a jump or call shows where it leads; full stop (.) returns to
RIP."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("full_stop", "home", "back to RIP", show=False)]

    address: int | None = None
    """The linear address to show; None for RIP."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(code_view, address=self.address)

    def action_home(self) -> None:
        """Show the code at RIP."""
        self.address = None
        self.post_message(self.Asks())
