"""Code on the screen."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from enclave_sim.inspector.model.machine.code import code_view, find_code
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Found, Pane, Search
from enclave_sim.inspector.syntax import Syntax


class CodePane(Pane):
    """Disassembly around RIP, or around an address chosen by the user."""

    NAME, TITLE, TAB, KEY = "code", "Code", "Code", "4"
    HELP = """Instructions around RIP, with the kernel's source lines and symbols. >
is where the processor is, B a breakpoint.
b sets a breakpoint at the cursor, or removes it; r runs to the cursor,
R back to it.
Enter on a jump or call shows where it leads; full stop (.) returns to
RIP. / searches the whole program: instructions, symbols and source.
y changes between the syntax of Intel and that of AT&T. Of lines of
assembly in the other syntax only the comments are shown."""
    FOOTER = "Enter follow jump  b break  r run here  . RIP  y syntax"
    FOLLOWS = "show where the jump or call leads"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("full_stop", "home", "show the code at RIP again", show=False),
        Binding("y", "syntax", "change the syntax of assembly", show=False),
    ]

    syntax = Syntax.INTEL
    address: int | None = None
    """The linear address to show; None for RIP."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(code_view, address=self.address, syntax=self.syntax)

    @property
    def searched(self) -> str:
        """See `Pane`."""
        return f"{self.TITLE}, in the whole program"

    def searching(self, text: str, direction: int) -> Search:
        """See `Pane`. Searches the whole program, unless the rows show other code."""
        start, syntax = self.target.code, self.syntax
        in_rows = super().searching(text, direction)

        def search(moment: Moment) -> Found | None:
            if start is None or not moment.program.is_code(start):
                return in_rows(moment)
            found = find_code(moment, text, start, direction, syntax)
            return (
                None if found is None else Found(f"{found:#x} {moment.program.symbol(found)}", partial(self._go, found))
            )

        return search

    def _go(self, address: int) -> None:
        self.address = address
        self.post_message(self.Asks())

    def action_syntax(self) -> None:
        """Change the assembly syntax."""
        self.syntax = self.syntax.other
        self.post_message(self.Asks())

    def action_home(self) -> None:
        """Show the code at RIP."""
        self.address = None
        self.post_message(self.Asks())
