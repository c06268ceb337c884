"""Descriptor and page tables on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.model.tables import table_view
from enclave_sim.inspector.panes.pane import Pane


class TablesPane(Pane):
    """GDT, TSS, page walks, mappings, IDT."""

    NAME, TITLE, TAB, KEY = "tables", "Tables", "Tbl", "9"
    HELP = """GDT, task state, page walks to RIP, RSP and CR2, all that is mapped, and
the IDT, with bits in words.
v goes to the next table. Enter on a gate shows its handler; b breaks
there. w watches an entry, W finds the last write to it."""
    FOOTER = "v next table  Enter show it  b break  w watch"
    FOLLOWS = "show the handler of the gate, or the bytes"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return table_view
